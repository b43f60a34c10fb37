"""The two steps by hand, with the origin's names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyless import get_oidc_token, oidc_login
from keyless.errors import IdTokenPermissionError, OIDCConfigurationError, ProviderNotFoundError
from tests.support.job import TOKEN_PATH, Job, make_id_token


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def test_get_oidc_token_is_the_raw_id_token(job: Job) -> None:
    """Minted for the endpoint, or for the audience asked for."""
    first = get_oidc_token(environ=job.github())
    second = get_oidc_token(audience="other", environ=job.github())

    assert [first, second] == job.id_tokens
    assert [request.target.rpartition("audience=")[2] for request in job.requests][1] == "other"


def test_login_mints_and_exchanges_each_time(job: Job) -> None:
    """Uncached: the caller keeps what it gets."""
    tokens = [oidc_login(environ=job.github()).access_token.reveal() for _ in range(2)]

    assert tokens == [job.access_token(1), job.access_token(2)]
    assert (job.mints, job.exchanges) == (2, 2)


def test_login_with_a_token_at_hand(job: Job) -> None:
    """`subject_token` is exchanged as it is."""
    token = make_id_token("whatever")
    oidc_login(resource="a/b", subject_token=token, endpoint=job.url, environ={})

    assert [request.json()["subject_token"] for request in job.requests] == [token]


def test_login_needs_a_resource(job: Job) -> None:
    """Before anything is minted."""
    with pytest.raises(OIDCConfigurationError, match="resource"):
        oidc_login(environ=job.github(HF_OIDC_RESOURCE=""))

    assert job.requests == []


def test_the_provider_can_be_named(job: Job) -> None:
    """A platform that is not here is not found; an unknown name is a mistake."""
    assert get_oidc_token(provider="github", environ=job.github(HF_OIDC_ID_TOKEN="x")) == job.id_tokens[0]
    with pytest.raises(ProviderNotFoundError):
        get_oidc_token(provider="gitlab", environ=job.github())
    with pytest.raises(IdTokenPermissionError):
        get_oidc_token(provider="gitlab", environ=job.github(GITLAB_CI="true"))
    with pytest.raises(OIDCConfigurationError, match="teamcity"):
        get_oidc_token(provider="teamcity", environ=job.github())


def test_the_process_environment_is_the_default(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """All variables are read at call time."""
    for name, value in job.github().items():
        monkeypatch.setenv(name, value)
    oidc_login()

    assert job.count(TOKEN_PATH) == 1
