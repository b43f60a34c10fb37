"""Bitbucket Pipelines: one variable, a list of audiences (S11)."""

from __future__ import annotations

from keyless.errors import AudienceError, IdTokenPermissionError
from keyless.testing import FakeIssuer
from keyless.testing.bitbucket import FakeBitbucket
from tests.providers.asking import AUDIENCE, failure, find, mint


def test_a_step_with_our_audience(issuer: FakeIssuer) -> None:
    """`aud` is a list that keeps the default one."""
    ci = FakeBitbucket(issuer, audiences=[AUDIENCE])
    found = find(ci.environ())

    assert mint(ci.environ()) == ci.id_token
    assert (found.provider, found.mints_anew, found.variables) == ("bitbucket", False, ("BITBUCKET_STEP_OIDC_TOKEN",))


def test_a_step_without_oidc_is_shown_the_lines(issuer: FakeIssuer) -> None:
    """The endpoint is in them."""
    error = failure(FakeBitbucket(issuer, oidc=False).environ())

    assert isinstance(error, IdTokenPermissionError)
    assert f"    oidc:\n      audiences:\n        - {AUDIENCE}" in (error.hint or "")


def test_the_default_audience_is_reported(issuer: FakeIssuer) -> None:
    """`oidc: true` alone makes a token for the workspace; nothing is sent."""
    error = failure(FakeBitbucket(issuer).environ())

    assert isinstance(error, AudienceError)
    assert "audiences:" in (error.hint or "")


def test_the_token_alone_is_marker_enough(issuer: FakeIssuer) -> None:
    """A container that got only the token."""
    ci = FakeBitbucket(issuer, audiences=[AUDIENCE])

    assert find({"BITBUCKET_STEP_OIDC_TOKEN": ci.id_token}).provider == "bitbucket"
