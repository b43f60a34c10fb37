"""The fake Azure DevOps answers as "Oidctoken - Create" says."""

from __future__ import annotations

import json

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from keyless.testing.azure_devops import AUDIENCE, CONNECTION, FakeAzureDevOps
from tests.testing.calls import http


def ask(ci: FakeAzureDevOps, query: str = "?api-version=7.1", **headers: str) -> tuple[int, str]:
    environ = ci.environ()
    headers = {"Authorization": f"Bearer {environ['SYSTEM_ACCESSTOKEN']}", **headers}
    status, body, _ = http("POST", f"{environ['SYSTEM_OIDCREQUESTURI']}{query}", headers, b"")
    return status, body


def test_the_audience_cannot_be_chosen(issuer: FakeIssuer) -> None:
    """And there are two kinds of subject."""
    with FakeCI.azure_devops(issuer) as ci:
        own = unverified_claims(json.loads(ask(ci, "?api-version=7.1&audience=x")[1])["oidcToken"])
        connection = f"?api-version=7.1&serviceConnectionId={CONNECTION}"
        other = unverified_claims(json.loads(ask(ci, connection)[1])["oidcToken"])

    assert own["aud"] == other["aud"] == AUDIENCE
    assert (str(own["sub"])[:5], str(other["sub"])[:5]) == ("p://a", "sc://")
    assert "def_id" not in other


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 400),
        ("?api-version=7.1&serviceConnectionId=x", {}, 403),
        ("?api-version=7.1", {"Authorization": "Bearer guess"}, 302),
        ("?api-version=7.1", {"Authorization": "Bearer guess", "X-TFS-FedAuthRedirect": "Suppress"}, 401),
    ],
    ids=["no version", "connection", "sign-in page", "suppressed"],
)
def test_refusals(issuer: FakeIssuer, query: str, headers: dict[str, str], status: int) -> None:
    """Without the header a refused token ends on a sign-in page."""
    with FakeCI.azure_devops(issuer) as ci:
        assert ask(ci, query, **headers)[0] == status
