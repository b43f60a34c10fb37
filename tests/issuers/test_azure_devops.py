"""What an Azure DevOps pipeline token means."""

from __future__ import annotations

import pytest

from keyless.issuers.azure_devops import AUDIENCE, AZURE_DEVOPS
from keyless.testing.claims import DROP
from tests.issuers.samples import SAMPLES, uuid

SAMPLE = SAMPLES["azure-devops"]
OTHER = uuid(0xB2)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({"aud": "https://hub.example.com"}, ["refused: aud"], id="V13-an-audience-nobody-can-choose"),
        pytest.param({"org_id": OTHER}, ["refused: org_id"], id="T36-another-organisation"),
        pytest.param({"org_id": DROP}, ["refused: org_id"], id="V14-no-organisation"),
        pytest.param({"prj_id": OTHER}, ["prj_id"], id="T61-another-project"),
        pytest.param({"prj_id": DROP}, ["refused: prj_id"], id="V14-no-project"),
        pytest.param({"def_id": "8"}, ["def_id"], id="V16-another-pipeline"),
        pytest.param({"def_id": 7}, [], id="M01-a-number-is-its-decimal"),
        pytest.param({"def_id": "07"}, ["def_id"], id="M01-not-canonical"),
        pytest.param({"def_id": DROP}, ["refused: def_id"], id="V14-no-pipeline"),
        pytest.param({"jti": DROP}, ["refused: jti"], id="T43-T49-no-jti"),
        pytest.param({"jti": ""}, ["refused: jti"], id="T43-empty-jti"),
        pytest.param({"sub": "sc://acme/widgets/release"}, ["refused: sub"], id="T17-service-connection"),
        pytest.param({"sub": "p://acme/widgets/train"}, ["sub"], id="V16-renamed"),
        pytest.param({"sub": "P://acme/widgets/release"}, ["refused: sub"], id="T22-case"),
        pytest.param({"rpo_ref": "refs/heads/evil"}, ["branch"], id="T72-branch"),
        pytest.param({"rpo_ref": "refs/tags/main"}, ["branch"], id="T88-tag-of-that-name"),
        pytest.param({"rpo_ref": "refs/pull/7/merge"}, ["ref", "branch"], id="T75-pull-request"),
        pytest.param({"rpo_ref": DROP}, ["branch"], id="M02-no-ref"),
        pytest.param({"rpo_ref": DROP, "ref": "refs/heads/main"}, ["branch"], id="T69-posing-as-derived"),
        pytest.param({"rpo_id": OTHER}, ["rpo_id"], id="T61-another-repository"),
        pytest.param({"rpo_id": DROP}, ["rpo_id"], id="M02-no-repository"),
    ],
)
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """V13, V16, T36, T43, T75: one claim off is one refusal."""
    assert SAMPLE.decide(changes) == wrong


def test_a_service_connections_token_lacks_what_is_pinned() -> None:
    """T17: the same issuer and audience, and no pipeline."""
    changes = dict.fromkeys(("org_id", "prj_id", "def_id", "rpo_id", "rpo_uri", "rpo_ver", "rpo_ref", "run_id"), DROP)

    assert SAMPLE.decide({"sub": "sc://acme/widgets/hub", **changes}) == ["refused: org_id"]


@pytest.mark.parametrize(
    ("conditions", "wrong"),
    [({}, ["ref"]), ({"ref": "refs/pull/7/merge"}, []), ({"ref": "refs/heads/main"}, ["ref"])],
)
def test_a_pull_request_must_be_named(conditions: dict[str, str], wrong: list[str]) -> None:
    """T75, V15: no claim says whether it comes from a fork."""
    assert SAMPLE.decide({"rpo_ref": "refs/pull/7/merge"}, conditions=conditions) == wrong


@pytest.mark.parametrize(
    ("url", "organisation", "wrong"),
    [
        (f"https://vstoken.dev.azure.com/{OTHER}", uuid(1), ["refused: org_id"]),
        (f"https://vstoken.dev.azure.com/{OTHER}", OTHER, ["org_id"]),
        (f"https://vstoken.dev.azure.com/{uuid(1)}/x", uuid(1), ["refused: org_id"]),
        ("https://its-successor.example.com/any", uuid(1), []),
        ("https://its-successor.example.com/any", OTHER, ["org_id"]),
    ],
)
def test_an_organisations_issuer_speaks_for_it_alone(url: str, organisation: str, wrong: list[str]) -> None:
    """M00, T36: all organisations' issuers share their keys; the issuer may be another one day."""
    assert SAMPLE.at(url).decide({"org_id": organisation}) == wrong


@pytest.mark.parametrize("claim", ["jti", "rpo_ref", "rpo_ver", "run_id"])
def test_a_run_and_a_second_spelling_are_no_conditions(claim: str) -> None:
    """T84."""
    assert not AZURE_DEVOPS.may_condition(claim)


def test_the_audience_is_everybodys() -> None:
    """T43: so `jti` is required, ids are pinned, and a token counts once."""
    assert AZURE_DEVOPS.fixed_audience == AUDIENCE == "api://AzureADTokenExchange"
    assert "jti" in AZURE_DEVOPS.required_claims
    assert AZURE_DEVOPS.replay.value == "once"


@pytest.mark.parametrize(("value", "good"), [(OTHER, True), ("acme", False)])
def test_the_ids_are_uuids(value: str, good: bool) -> None:
    """D10."""
    assert (AZURE_DEVOPS.pin_problem("prj_id", value) is None) is good
