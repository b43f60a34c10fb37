"""The `keyring` backend: a token for the index that was named, for nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from keyring.errors import PasswordDeleteError, PasswordSetError

from keyless import keyring_backend
from keyless.keyring_backend import VARIABLE, KeylessKeyring
from tests.support.job import Job
from tests.support.stub import Answer


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """A job with an index that it names."""
    monkeypatch.setattr(keyring_backend, "_tokens", {})
    with Job() as running:
        running.on("/_/oidc/audience", Answer(200, {"audience": "word"}))
        running.on("/_/oidc/mint-token", Answer(200, {"token": "pypi-good"}))
        for name, value in running.github().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(VARIABLE, f"https://first.example.org, {running.url}/index/")
        yield running


@pytest.mark.parametrize("place", ["{url}/index/simple/", "{url}/other", "{host}", "http://__token__@{host}/simple/"])
def test_named_index_gets_a_token(job: Job, place: str) -> None:
    """Tools ask by URL or by host, with and without a user; one exchange serves all of it."""
    service = place.format(url=job.url, host=job.url.removeprefix("http://"))
    backend = KeylessKeyring()

    assert backend.get_password(service, "__token__") == "pypi-good"
    credential = backend.get_credential(service, None)
    assert credential is not None
    assert (credential.username, credential.password) == ("__token__", "pypi-good")
    assert job.mints == 1


@pytest.mark.parametrize(
    "service",
    [
        "https://{host}/simple/",
        "http://{host}.example.org/",
        "http://other.example.org/",
        "example.org",
        "",
        "http://{host}@evil.example.org/",
    ],
)
def test_nobody_else_gets_one(job: Job, service: str) -> None:
    """T43: an id token goes to no index that the user did not name, over no other scheme."""
    backend = KeylessKeyring()

    assert backend.get_password(service.format(host=job.url.removeprefix("http://")), "__token__") is None
    assert backend.get_credential(service, None) is None
    assert job.mints == 0


def test_other_users_have_no_token(job: Job) -> None:
    """A user name that was given means another password."""
    assert KeylessKeyring().get_password(job.url, "alice") is None
    assert job.requests == []


def test_without_the_variable_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desktop's keyring goes on as before."""
    monkeypatch.delenv(VARIABLE, raising=False)

    assert KeylessKeyring.viable is False
    monkeypatch.setenv(VARIABLE, "https://pypi.example.org")
    assert KeylessKeyring.viable is True


def test_nothing_is_stored(job: Job) -> None:
    """The whole point."""
    del job
    with pytest.raises(PasswordSetError):
        KeylessKeyring().set_password("x", "y", "z")
    with pytest.raises(PasswordDeleteError):
        KeylessKeyring().delete_password("x", "y")
