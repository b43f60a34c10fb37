"""Buildkite: the agent's API, and its program where the API's address is not known (S11)."""

from __future__ import annotations

import pytest

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.testing import FakeIssuer
from keyless.testing.buildkite import FakeBuildkite
from keyless.testing.mint_server import Ran
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of, mint


@pytest.mark.parametrize("knows_endpoint", [True, False], ids=["http", "program"])
def test_both_ways_mint_with_the_ids(issuer: FakeIssuer, knows_endpoint: bool) -> None:
    """providers.md 2.4: the immutable ids are in the token only for who asks; we always do."""
    with FakeBuildkite(issuer, knows_endpoint=knows_endpoint) as ci:
        found = find(ci.environ())
        claims = claims_of(ci.environ())

    assert (found.provider, found.mints_anew) == ("buildkite", True)
    assert claims["aud"] == AUDIENCE
    assert {"organization_id", "pipeline_id"} <= set(claims)
    assert ci.requests[0].method == ("POST" if knows_endpoint else "RUN")


def test_the_request_is_the_agents(issuer: FakeIssuer) -> None:
    """Its own scheme word, and JSON."""
    with FakeBuildkite(issuer, has_program=False) as ci:
        mint(ci.environ())
    asked = ci.requests[0]

    assert asked.header("authorization").startswith("Token ")
    assert asked.json() == {"audience": AUDIENCE, "claims": ["organization_id", "pipeline_id"]}


def test_a_container_without_the_agents_variables(issuer: FakeIssuer) -> None:
    """The lines for the docker plugin."""
    with FakeBuildkite(issuer, in_container=True) as ci:
        error = failure(ci.environ())

    assert isinstance(error, IdTokenPermissionError)
    assert "propagate-environment: true" in (error.hint or "")
    assert "mount-buildkite-agent: true" in (error.hint or "")


def test_neither_address_nor_program(issuer: FakeIssuer) -> None:
    """Agent missing."""
    with FakeBuildkite(issuer, knows_endpoint=False) as ci:
        assert "BUILDKITE_AGENT_ENDPOINT" in hint_of({**ci.environ(), "PATH": "/nonexistent"})


def test_a_stale_access_token(issuer: FakeIssuer) -> None:
    """401, with what to do."""
    with FakeBuildkite(issuer) as ci:
        error = failure({**ci.environ(), "BUILDKITE_AGENT_ACCESS_TOKEN": "stale-0123456789012345678901234567890"})

    assert isinstance(error, MintError)
    assert error.status == 401
    assert "while its job runs" in (error.hint or "")


@pytest.mark.parametrize(
    ("complaint", "kind", "word"),
    [
        ("fatal: could not redact token: job API not available", MintError, "job API socket"),
        ("Could not obtain OIDC token: 503 Service Unavailable", MintUnavailableError, "again"),
        ("fatal: 422 no", MintError, "request-token"),
    ],
)
def test_a_program_that_fails(issuer: FakeIssuer, complaint: str, kind: type[MintError], word: str) -> None:
    """Known complaints have hints; the words themselves are not shown."""
    with FakeBuildkite(issuer, knows_endpoint=False) as ci:
        ci.misprint(Ran(status=1, complaint=complaint))
        error = failure(ci.environ())

    assert type(error) is kind
    assert word in (error.hint or "")
    assert complaint not in str(error)
