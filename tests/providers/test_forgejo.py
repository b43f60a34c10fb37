"""Forgejo Actions: GitHub's protocol with another switch, and markers of two other platforms (S11)."""

from __future__ import annotations

import pytest

from keyless.errors import IdTokenPermissionError, MintError
from keyless.providers.detect import detect_provider
from keyless.testing import FakeIssuer
from keyless.testing.forgejo import FakeForgejo
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of


def test_a_job_with_the_switch_mints(issuer: FakeIssuer) -> None:
    """All markers of GitHub and Gitea are set, and Forgejo is found."""
    with FakeForgejo(issuer) as ci:
        found = find(ci.environ())
        claims = claims_of(ci.environ())

    assert (found.provider, found.mints_anew) == ("forgejo", True)
    assert claims["aud"] == AUDIENCE
    assert "jti" not in claims
    assert ci.requests[0].query == {"placeholder": ("true",), "audience": (AUDIENCE,)}
    assert ci.requests[0].header("authorization").startswith("Bearer ")


def test_detect_provider_names_it_when_it_can_mint(issuer: FakeIssuer) -> None:
    """S2: "able to mint"; without the variables `None`, as huggingface_hub has it."""
    able, unable = FakeForgejo(issuer), FakeForgejo(issuer, openid_connect=False)

    assert detect_provider(able.environ()) == "forgejo"
    assert detect_provider(unable.environ()) is None
    able.close()
    unable.close()


def test_empty_variables_are_no_permission(issuer: FakeIssuer) -> None:
    """providers.md 2.11: the runner exports both as empty texts when the feature is off."""
    with FakeForgejo(issuer, openid_connect=False) as ci:
        error = failure(ci.environ())

    assert ci.environ()["ACTIONS_ID_TOKEN_REQUEST_URL"] == ""
    assert isinstance(error, IdTokenPermissionError)
    assert "enable-openid-connect: true" in (error.hint or "")
    assert "fork" not in (error.hint or "")


def test_a_pull_request_is_told_about_forks(issuer: FakeIssuer) -> None:
    """Fork pull requests never get a token."""
    with FakeForgejo(issuer, {"event_name": "pull_request"}, openid_connect=False) as ci:
        assert "fork" in hint_of(ci.environ())


@pytest.mark.parametrize(
    ("name", "value", "status", "word"),
    [
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "stale-token-0123456789012345678901234567890", 401, "while its job runs"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "/api/actions/_apis/pipelines/workflows/1/idtoken", 400, "another run"),
    ],
    ids=["stale", "other run"],
)
def test_variables_of_another_job(issuer: FakeIssuer, name: str, value: str, status: int, word: str) -> None:
    """Refusals have hints of their own."""
    with FakeForgejo(issuer) as ci:
        environ = {**ci.environ(), name: value if "TOKEN" in name and "URL" not in name else f"{ci.origin}{value}"}
        error = failure(environ)

    assert isinstance(error, MintError)
    assert error.status == status
    assert word in (error.hint or "")


def test_a_task_that_is_over(issuer: FakeIssuer) -> None:
    """Forgejo answers 500 then; the hint says so."""
    with FakeForgejo(issuer) as ci:
        ci.misbehave("server_error")

        assert "not running" in hint_of(ci.environ())
