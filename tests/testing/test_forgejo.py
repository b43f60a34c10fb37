"""The fake Forgejo answers as "Forgejo Actions | Security OpenID Connect" says."""

from __future__ import annotations

import json

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from tests.testing.calls import http


def test_a_token_for_the_audience(issuer: FakeIssuer) -> None:
    """GET, bearer, `value`; the URL has a query of its own; no jti."""
    with FakeCI.forgejo(issuer) as ci:
        environ = ci.environ()
        url = environ["ACTIONS_ID_TOKEN_REQUEST_URL"]
        headers = {"Authorization": f"bearer {environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
        status, body, _ = http("GET", f"{url}&audience=x", headers)
        default = json.loads(http("GET", url, headers)[1])["value"]
    claims = unverified_claims(json.loads(body)["value"])

    assert (status, claims["aud"], "jti" in claims) == (200, "x", False)
    assert str(unverified_claims(default)["aud"]).endswith("/acme")
    assert "?placeholder=true" in url


@pytest.mark.parametrize(
    ("token", "path", "status"), [("guess", None, 401), (None, "/1/idtoken", 400), (None, "/x", 404)]
)
def test_refusals(issuer: FakeIssuer, token: str | None, path: str | None, status: int) -> None:
    """401 for the token, 400 for another run."""
    with FakeCI.forgejo(issuer) as ci:
        environ = ci.environ()
        url = environ["ACTIONS_ID_TOKEN_REQUEST_URL"] if path is None else f"{ci.origin}{path}"
        token = token or environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]

        assert http("GET", url, {"Authorization": f"Bearer {token}"})[0] == status


def test_without_the_switch_both_variables_are_empty(issuer: FakeIssuer) -> None:
    """Not absent: empty."""
    with FakeCI.forgejo(issuer, openid_connect=False) as ci:
        environ = ci.environ()

    assert (environ["ACTIONS_ID_TOKEN_REQUEST_URL"], environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]) == ("", "")
    assert environ["GITHUB_ACTIONS"] == environ["GITEA_ACTIONS"] == environ["FORGEJO_ACTIONS"] == "true"
