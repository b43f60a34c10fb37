"""What a JWT-SVID means."""

from __future__ import annotations

import pytest

from keyless.issuers.spiffe import SPIFFE
from keyless.testing.claims import DROP
from tests.issuers.samples import AUDIENCE, SAMPLES

SAMPLE = SAMPLES["spiffe"]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({"sub": "spiffe://example.org/ci/publisher2"}, ["sub"], id="S09-longer"),
        pytest.param({"sub": "spiffe://example.org/ci"}, ["sub"], id="S09-shorter"),
        pytest.param({"sub": "spiffe://example.org/ci/publisher/x"}, ["sub"], id="T64-below"),
        pytest.param({"sub": "spiffe://evil.org/ci/publisher"}, ["sub"], id="T36-another-trust-domain"),
        pytest.param({"sub": "spiffe://example.org/CI/publisher"}, ["sub"], id="M04-case-of-the-path"),
        pytest.param({"sub": "SPIFFE://example.org/ci/publisher"}, ["refused: sub"], id="T22-case-of-the-scheme"),
        pytest.param({"sub": "spiffe://Example.org/ci/publisher"}, ["refused: sub"], id="T22-case-of-the-domain"),
        pytest.param({"sub": "spiffe://example.org/ci/publisher/"}, ["refused: sub"], id="T22-slash"),
        pytest.param({"sub": "spiffe://example.org//ci/publisher"}, ["refused: sub"], id="T22-empty-segment"),
        pytest.param({"sub": "spiffe://example.org/x/../ci/publisher"}, ["refused: sub"], id="T22-parent"),
        pytest.param({"sub": "spiffe://example.org/./ci/publisher"}, ["refused: sub"], id="T22-here"),
        pytest.param({"sub": "spiffe://example.org/ci/.."}, ["refused: sub"], id="T22-parent-at-the-end"),
        pytest.param({"sub": "spiffe://example.org/.../publisher"}, ["sub"], id="three-dots-are-a-name"),
        pytest.param({"sub": "spiffe://example.org/ci%2Fpublisher"}, ["refused: sub"], id="T22-escape"),
        pytest.param({"sub": "spiffe://example.org:8443/ci/publisher"}, ["refused: sub"], id="T21-port"),
        pytest.param({"sub": "spiffe://u@example.org/ci/publisher"}, ["refused: sub"], id="T21-user"),
        pytest.param({"sub": "spiffe://example.org/ci/publisher?x"}, ["refused: sub"], id="T21-query"),
        pytest.param({"sub": "spiffe://example.org/ci/publisher\n"}, ["refused: sub"], id="T18-newline"),
        pytest.param({"sub": "spiffe://example.org"}, ["refused: sub"], id="M00-the-whole-trust-domain"),
        pytest.param({"sub": "spiffe:///ci/publisher"}, ["refused: sub"], id="M00-no-trust-domain"),
        pytest.param({"sub": "publisher"}, ["refused: sub"], id="T17-no-spiffe-id"),
        pytest.param({"sub": DROP}, ["refused: sub"], id="V10-no-subject"),
        pytest.param({"aud": [AUDIENCE, "spiffe://example.org/other"]}, ["refused: aud"], id="T42-another-too"),
        pytest.param({"iat": DROP}, ["refused: iat"], id="V10-no-iat"),
        pytest.param({"jti": "x", "team": "evil"}, [], id="V14-not-read"),
    ],
)
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """M00b, V16, T21, T22: the identity is the whole subject."""
    assert SAMPLE.decide(changes) == wrong


@pytest.mark.parametrize(
    ("value", "good"),
    [("spiffe://example.org/ci", True), ("spiffe://example.org/ci/*", False), ("spiffe://example.org", False)],
)
def test_the_form_of_a_pin(value: str, good: bool) -> None:
    """M06: a pattern is no identity."""
    assert (SPIFFE.pin_problem("sub", value) is None) is good


def test_the_subject_is_all_there_is() -> None:
    """M00b, M06."""
    assert SPIFFE.condition_claims == {"sub"}
    assert SPIFFE.glob_claims == frozenset()


def test_a_trust_domain_signs_with_the_keys_its_operator_chose() -> None:
    """V04."""
    assert set(SPIFFE.algorithms) == {"RS256", "ES256", "ES384"}
