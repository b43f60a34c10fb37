"""The fake metadata server answers as Google's."""

from __future__ import annotations

import json

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from tests.testing.calls import http

PATH = "/computeMetadata/v1/instance/service-accounts/default"
FLAVOR = {"Metadata-Flavor": "Google"}


def test_an_identity_token_is_raw_text(issuer: FakeIssuer) -> None:
    """With `format=full` it describes the machine."""
    with FakeCI.google_cloud(issuer) as cloud:
        _, full, headers = http("GET", f"{cloud.origin}{PATH}/identity?audience=x&format=full", FLAVOR)
        _, short, _ = http("GET", f"{cloud.origin}{PATH}/identity?audience=x", FLAVOR)

    assert headers["Metadata-Flavor"] == "Google"
    assert unverified_claims(full)["aud"] == "x"
    assert ("google" in unverified_claims(full), "google" in unverified_claims(short)) == (True, False)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (f"{PATH}/identity?audience=x", {}, 403),
        (f"{PATH}/identity?audience=x", {**FLAVOR, "X-Forwarded-For": "10.0.0.1"}, 403),
        (f"{PATH}/identity", FLAVOR, 400),
        ("/computeMetadata/v1/no", FLAVOR, 404),
        ("/", FLAVOR, 200),
        (f"{PATH}/email", FLAVOR, 200),
        (f"{PATH}/?recursive=true", FLAVOR, 200),
    ],
)
def test_what_it_answers(issuer: FakeIssuer, path: str, headers: dict[str, str], status: int) -> None:
    """The header is required, a proxy's is not allowed."""
    with FakeCI.google_cloud(issuer) as cloud:
        assert http("GET", f"{cloud.origin}{path}", headers)[0] == status


def test_generate_id_token_wants_the_machines_access_token(issuer: FakeIssuer) -> None:
    """And the right to be that account."""
    with FakeCI.google_cloud(issuer, may_impersonate=("a@b",)) as cloud:
        access = json.loads(http("GET", f"{cloud.origin}{PATH}/token", FLAVOR)[1])["access_token"]

        def ask(email: str, token: str, body: dict[str, object], call: str = "generateIdToken") -> tuple[int, str]:
            url = f"{cloud.origin}/v1/projects/-/serviceAccounts/{email}:{call}"
            return http("POST", url, {"Authorization": f"Bearer {token}"}, body)[:2]

        good = ask("a@b", access, {"audience": "x", "includeEmail": True})
        statuses = [
            ask("a@b", "guess", {"audience": "x"})[0],
            ask("c@d", access, {"audience": "x"})[0],
            ask("a@b", access, {})[0],
            ask("a@b", access, {}, "signJwt")[0],
        ]

    assert unverified_claims(json.loads(good[1])["token"])["email"] == "a@b"
    assert statuses == [401, 403, 400, 404]


def test_a_machine_without_account(issuer: FakeIssuer) -> None:
    """404, with Google's header: it is the metadata server that says so."""
    with FakeCI.google_cloud(issuer, has_account=False) as cloud:
        status, _, headers = http("GET", f"{cloud.origin}{PATH}/identity?audience=x", FLAVOR)

    assert (status, headers["Metadata-Flavor"]) == (404, "Google")
