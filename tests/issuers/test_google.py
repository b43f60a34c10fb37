"""What a Google Cloud service account's token means."""

from __future__ import annotations

import pytest

from keyless.issuers.google import GOOGLE
from keyless.testing.claims import DROP
from tests.issuers.samples import SAMPLES

SAMPLE = SAMPLES["google"]
COMPUTE = SAMPLE.claims["google"]
ACCOUNT = "publisher@acme-prod.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({"sub": "104321987654321098766"}, ["sub"], id="T60-the-address-was-created-again"),
        pytest.param({"sub": ACCOUNT}, ["sub"], id="D10-an-address-is-no-id"),
        pytest.param({"email": "train@acme-prod.iam.gserviceaccount.com"}, ["email"], id="V16-another-address"),
        pytest.param({"email": ACCOUNT.upper()}, ["refused: email"], id="M04-case"),
        pytest.param({"email": DROP, "email_verified": DROP}, ["email"], id="M02-no-address"),
        pytest.param({"email": "alice@gmail.com"}, ["refused: email"], id="T17-a-persons-login"),
        pytest.param({"email": "x@gserviceaccount.com.evil.example"}, ["refused: email"], id="T21-suffix"),
        pytest.param({"email": "x@evilgserviceaccount.com"}, ["refused: email"], id="T21-no-dot"),
        pytest.param({"email": f"a@evil.example@{ACCOUNT}"}, ["refused: email"], id="T18-two-addresses"),
        pytest.param({"email": f"{ACCOUNT}\n"}, ["refused: email"], id="T18-newline"),
        pytest.param({"email": [ACCOUNT]}, ["refused: email"], id="T83-list"),
        pytest.param({"email_verified": False}, ["refused: email_verified"], id="T17-not-verified"),
        pytest.param({"email_verified": "true"}, ["refused: email_verified"], id="T82-verified-as-text"),
        pytest.param({"email_verified": 1}, ["refused: email_verified"], id="T82-verified-as-number"),
        pytest.param({"email_verified": DROP}, ["refused: email_verified"], id="M02-verified-unsaid"),
        pytest.param({"email_verified": None}, ["refused: email_verified"], id="M02-verified-null"),
        pytest.param({"email": DROP}, ["refused: email"], id="M02-verified-nothing"),
        pytest.param({"google": DROP}, ["project_number"], id="M02-short-form"),
        pytest.param({"google": {"compute_engine": {"project_number": 1}}}, ["project_number"], id="V16-other-project"),
        pytest.param({"google": {"compute_engine": {"project_number": "739419398126"}}}, [], id="M01-number-as-text"),
        pytest.param({"google": {}}, ["project_number"], id="M02-nothing-inside"),
        pytest.param({"google": "x"}, ["refused: google"], id="V10-no-object"),
        pytest.param({"google": {"compute_engine": ["x"]}}, ["refused: google"], id="V10-no-object-inside"),
        pytest.param({"google": DROP, "project_number": "739419398126"}, ["project_number"], id="T69-posing-as-nested"),
        pytest.param({"jti": "x", "azp": "other"}, [], id="V14-not-read"),
    ],
)
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """V16, T17, T60, T82: one claim off is one refusal."""
    assert SAMPLE.decide(changes) == wrong


@pytest.mark.parametrize(
    "email",
    [
        "739419398126-compute@developer.gserviceaccount.com",
        "acme-prod@appspot.gserviceaccount.com",
        "ci@widgets.acme.example.iam.gserviceaccount.com",
    ],
)
def test_every_service_account_has_such_an_address(email: str) -> None:
    """T17."""
    assert SAMPLE.attributes(email=email)["email"] == email


def test_the_short_form_names_the_account_by_its_number() -> None:
    """M00: what is pinned is there without an address."""
    short = {"email": DROP, "email_verified": DROP, "google": DROP}

    assert SAMPLE.decide(short, conditions={}) == []


def test_an_address_alone_is_not_enough() -> None:
    """D10: it names the account while its number is pinned at first use, and never instead."""
    assert SAMPLE.decide(conditions={"email": ACCOUNT}, pins={}) == ["sub"]
    assert GOOGLE.repository_claim == "email"


def test_no_address_is_kept() -> None:
    """D15."""
    assert "email" not in GOOGLE.subject_claims


@pytest.mark.parametrize("claim", ["email_verified", "instance_name", "azp"])
def test_what_is_always_so_or_chosen_is_no_condition(claim: str) -> None:
    """T84."""
    assert not GOOGLE.may_condition(claim)


@pytest.mark.parametrize(("value", "good"), [("104321987654321098765", True), (ACCOUNT, False), ("0123456", False)])
def test_the_id_is_a_number(value: str, good: bool) -> None:
    """D10."""
    assert (GOOGLE.pin_problem("sub", value) is None) is good
