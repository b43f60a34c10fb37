"""The fake Buildkite answers as its agent's API and program do."""

from __future__ import annotations

import json

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from keyless.testing.buildkite import FakeBuildkite
from tests.testing.calls import http, program


def ask(ci: FakeBuildkite, body: object, *, token: str | None = None) -> tuple[int, dict[str, object]]:
    environ = ci.environ()
    url = f"{environ['BUILDKITE_AGENT_ENDPOINT']}/jobs/{environ['BUILDKITE_JOB_ID']}/oidc/tokens"
    status, text, _ = http(
        "POST", url, {"Authorization": f"Token {token or environ['BUILDKITE_AGENT_ACCESS_TOKEN']}"}, body
    )
    parsed: dict[str, object] = json.loads(text)
    return status, parsed


def test_ids_are_there_on_request(issuer: FakeIssuer) -> None:
    """And the lifetime is what was asked for."""
    with FakeCI.buildkite(issuer) as ci:
        plain = unverified_claims(str(ask(ci, {"audience": "x"})[1]["token"]))
        rich = unverified_claims(str(ask(ci, {"audience": "x", "claims": ["pipeline_id"], "lifetime": 60})[1]["token"]))

    assert "pipeline_id" not in plain
    assert rich["pipeline_id"]
    assert [int(str(c["exp"])) - int(str(c["iat"])) for c in (plain, rich)] == [300, 60]


@pytest.mark.parametrize(
    ("body", "token", "status"),
    [({"lifetime": 7201}, None, 422), ({"claims": ["x"]}, None, 422), ({}, "guess", 401)],
    ids=["lifetime", "claim", "token"],
)
def test_refusals(issuer: FakeIssuer, body: object, token: str | None, status: int) -> None:
    """422 for what is asked too much."""
    with FakeCI.buildkite(issuer) as ci:
        assert ask(ci, body, token=token)[0] == status


def test_the_program_mints_the_same(issuer: FakeIssuer) -> None:
    """`buildkite-agent oidc request-token`."""
    words = ["buildkite-agent", "oidc", "request-token", "--audience", "x", "--claim", "organization_id,pipeline_id"]
    with FakeCI.buildkite(issuer) as ci:
        ran = program(words, ci.environ())
        stranger = program(words, {**ci.environ(), "BUILDKITE_AGENT_ACCESS_TOKEN": "guess"})
        other = program([*words, "--job", "other"], ci.environ())
        unknown = program(["buildkite-agent", "start"], ci.environ())
    claims = unverified_claims(ran.stdout.strip())

    assert (claims["aud"], claims["organization_id"] is not None) == ("x", True)
    assert [run.returncode for run in (stranger, other, unknown)] == [1, 1, 1]


def test_no_audience_is_the_organizations_page(issuer: FakeIssuer) -> None:
    """The default nobody's relying party wants."""
    with FakeCI.buildkite(issuer) as ci:
        assert unverified_claims(str(ask(ci, {})[1]["token"]))["aud"] == "https://buildkite.com/acme"
