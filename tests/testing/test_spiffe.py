"""The fake spire-agent prints what the real one prints with `-output json`."""

from __future__ import annotations

import json

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from keyless.testing.spiffe import SOCKET_PATH
from tests.testing.calls import program

FETCH = ["spire-agent", "api", "fetch", "jwt"]
SOCKET = ["-socketPath", SOCKET_PATH]


def test_svids_and_bundles(issuer: FakeIssuer) -> None:
    """A list of two answers; a comma makes two audiences; no jti, and a list as audience."""
    with FakeCI.spiffe(issuer) as spire:
        ran = program([*FETCH, "-audience", "x,y", *SOCKET, "-output", "json"], spire.environ())
    svids, bundles = json.loads(ran.stdout)
    claims = unverified_claims(svids["svids"][0]["svid"])

    assert (claims["aud"], "jti" in claims) == (["x", "y"], False)
    assert svids["svids"][0]["spiffe_id"] == claims["sub"]
    assert "bundles" in bundles


@pytest.mark.parametrize(
    ("words", "registered", "complaint"),
    [
        ([*FETCH, *SOCKET], True, "audience must be specified"),
        ([*FETCH, "-audience", "x", "-socketPath", "/elsewhere"], True, "Unavailable"),
        ([*FETCH, "-audience", "x", *SOCKET], False, "PermissionDenied"),
        ([*FETCH, "-audience", "x", *SOCKET, "-spiffeID", "spiffe://other"], True, "PermissionDenied"),
        (["spire-agent", "run"], True, "Usage"),
    ],
)
def test_what_it_refuses(issuer: FakeIssuer, words: list[str], registered: bool, complaint: str) -> None:
    """Exit status 1, and gRPC's words on standard error."""
    with FakeCI.spiffe(issuer, registered=registered) as spire:
        ran = program(words, spire.environ())

    assert (ran.returncode, ran.stdout) == (1, "")
    assert complaint in ran.stderr
