"""Azure DevOps Pipelines: a POST, a mapped secret, one audience (S11)."""

from __future__ import annotations

import pytest

from keyless.errors import IdTokenPermissionError, MintError
from keyless.testing import FakeIssuer, unverified_claims
from keyless.testing.azure_devops import AUDIENCE as FIXED
from keyless.testing.azure_devops import CONNECTION, FakeAzureDevOps
from tests.providers.asking import claims_of, failure, find, hint_of, mint


def test_a_step_that_maps_its_token_mints(issuer: FakeIssuer) -> None:
    """The audience is the platform's, whatever was asked for: the service decides whether that will do."""
    with FakeAzureDevOps(issuer) as ci:
        found = find(ci.environ())
        claims = claims_of(ci.environ())
    asked = ci.requests[0]

    assert (found.provider, found.mints_anew) == ("azure-devops", True)
    assert (claims["aud"], claims["def_id"]) == (FIXED, "17")
    assert (asked.method, asked.header("content-length"), asked.one("api-version")) == ("POST", "0", "7.1")
    assert asked.header("x-tfs-fedauthredirect") == "Suppress"


def test_a_service_connection_can_be_named(issuer: FakeIssuer) -> None:
    """Then the subject is the connection."""
    with FakeAzureDevOps(issuer) as ci:
        token = mint({**ci.environ(), "KEYLESS_AZURE_SERVICE_CONNECTION_ID": CONNECTION})

    assert str(unverified_claims(token)["sub"]).startswith("sc://")


def test_a_connection_that_no_task_uses(issuer: FakeIssuer) -> None:
    """403, and why."""
    with FakeAzureDevOps(issuer) as ci:
        environ = {**ci.environ(), "KEYLESS_AZURE_SERVICE_CONNECTION_ID": "other"}

        assert "a task of this job" in hint_of(environ)


@pytest.mark.parametrize(
    ("mapping", "extra", "word"),
    [
        ("no", {}, "SYSTEM_ACCESSTOKEN: $(System.AccessToken)"),
        ("no", {"SYSTEM_PULLREQUEST_ISFORK": "True"}, "fork"),
        ("unresolved", {}, "exactly so"),
        ("yes", {"SYSTEM_OIDCREQUESTURI": ""}, "by itself"),
    ],
    ids=["not mapped", "fork", "unresolved", "no address"],
)
def test_each_mistake_has_its_own_hint(issuer: FakeIssuer, mapping: str, extra: dict[str, str], word: str) -> None:
    """An unresolved $(System.AccessToken) counts as unset and is named for what it is."""
    ci = FakeAzureDevOps(issuer, mapping=mapping)  # type: ignore[arg-type]  # a parametrised literal
    error = failure({**ci.environ(), **extra})
    ci.close()

    assert isinstance(error, IdTokenPermissionError)
    assert word in (error.hint or "")


def test_a_token_of_another_job(issuer: FakeIssuer) -> None:
    """401 instead of a sign-in page, thanks to the header."""
    with FakeAzureDevOps(issuer) as ci:
        error = failure({**ci.environ(), "SYSTEM_ACCESSTOKEN": "stale-0123456789012345678901234567890123"})

    assert isinstance(error, MintError)
    assert error.status == 401
    assert "mapped" in (error.hint or "")


def test_a_sign_in_page_is_not_a_token(issuer: FakeIssuer) -> None:
    """HTML with status 200."""
    with FakeAzureDevOps(issuer) as ci:
        ci.misbehave("html")

        assert "sign-in page" in hint_of(ci.environ())
