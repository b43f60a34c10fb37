"""What the token of an issuer we know nothing of means: little."""

from __future__ import annotations

import pytest

from keyless.issuers.generic import GENERIC
from keyless.oidc.issuer import Issuer

CLAIMS = {"iss": "https://ci.example", "sub": "job", "aud": "x", "exp": 1, "iat": 1, "nbf": 1, "jti": "j"}


def test_claims_are_what_they_are_and_nothing_is_derived() -> None:
    """M00b: no claim of an unknown issuer has a known meaning."""
    seen = GENERIC.attributes({**CLAIMS, "project": "acme", "number": 7, "flag": True, "ref": "refs/heads/main"})

    assert seen == {"sub": "job", "project": "acme", "number": "7", "flag": "true", "ref": "refs/heads/main"}


@pytest.mark.parametrize("value", [None, ["a"], {"a": 1}, 1.5, "a\nb", "a\0", "a" * 1025], ids=lambda v: ascii(v)[:9])
def test_what_cannot_be_compared_is_absent(value: object) -> None:
    """M01, M02, T18, T83: a list never matches, and an unknown claim never fails a token."""
    assert "groups" not in GENERIC.attributes({**CLAIMS, "groups": value})


@pytest.mark.parametrize(
    ("immutable", "required"), [((), ("sub",)), (("org_id", "project_id"), ("org_id", "project_id"))]
)
def test_a_publisher_pins_the_subject_or_what_the_operator_declared(
    immutable: tuple[str, ...], required: tuple[str, ...]
) -> None:
    """M00b."""
    issuer = Issuer(id=1, url="https://ci.example", kind="generic", immutable_claims=immutable)

    assert GENERIC.required_pins(issuer) == required


@pytest.mark.parametrize(
    ("claim", "allowed"),
    [("sub", True), ("project", True), *((claim, False) for claim in ("aud", "iss", "exp", "jti", "iat", "nbf"))],
)
def test_any_claim_but_the_registered_ones_is_a_condition(claim: str, allowed: bool) -> None:
    """D11: those have rules of their own."""
    assert GENERIC.may_condition(claim) is allowed


def test_nothing_is_guarded_and_nothing_is_folded() -> None:
    """M04, M00b."""
    assert GENERIC.guards({"event_name": "pull_request_target"}) == ()
    assert GENERIC.folded_claims == frozenset()
