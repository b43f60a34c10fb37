"""What a Bitbucket Pipelines token means."""

from __future__ import annotations

import pytest

from keyless.issuers.bitbucket import BITBUCKET
from keyless.testing.claims import DROP
from tests.issuers.samples import AUDIENCE, SAMPLES, uuid

SAMPLE = SAMPLES["bitbucket"]
OTHER = f"{{{uuid(0xB2)}}}"
DEFAULT = f"ari:cloud:bitbucket::workspace/{uuid(1)}"


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({"workspaceUuid": OTHER}, ["workspaceUuid"], id="T62-another-workspace-of-that-name"),
        pytest.param({"workspaceUuid": DROP}, ["refused: workspaceUuid"], id="V14-no-workspace"),
        pytest.param({"workspaceUuid": uuid(1)}, ["workspaceUuid"], id="M01-without-braces"),
        pytest.param({"repositoryUuid": OTHER}, ["repositoryUuid"], id="T61-another-repository"),
        pytest.param({"repositoryUuid": DROP}, ["refused: repositoryUuid"], id="V14-no-repository"),
        pytest.param({"stepUuid": DROP}, ["refused: stepUuid"], id="T17-no-step"),
        pytest.param({"branchName": "evil"}, ["branch"], id="T72-branch"),
        pytest.param({"branchName": DROP}, ["branch"], id="M02-no-branch"),
        pytest.param({"branchName": ["main"]}, ["refused: branchName"], id="T83-branches"),
        pytest.param({"branchName": DROP, "branch": "main"}, ["branch"], id="T69-posing-as-derived"),
        pytest.param({"deploymentEnvironmentUuid": OTHER}, ["environment"], id="T73-another-environment"),
        pytest.param({"deploymentEnvironmentUuid": DROP}, ["environment"], id="M02-no-environment"),
        pytest.param({"sub": f"{OTHER}:{OTHER}"}, [], id="T65-the-subject-is-not-read"),
        pytest.param({"aud": [AUDIENCE]}, [], id="V13-list-of-one"),
        pytest.param({"aud": [AUDIENCE, DEFAULT]}, [], id="V13-with-the-default"),
        pytest.param({"aud": [DEFAULT, AUDIENCE]}, [], id="V13-order"),
        pytest.param({"aud": [AUDIENCE, "https://other.example"]}, ["refused: aud"], id="T42-somebody-elses-too"),
        pytest.param({"aud": [AUDIENCE, DEFAULT, "sts.amazonaws.com"]}, ["refused: aud"], id="T42-and-the-default"),
        pytest.param({"aud": DEFAULT}, ["refused: aud"], id="V13-only-the-default"),
        pytest.param({"aud": [DEFAULT]}, ["refused: aud"], id="V13-only-the-default-as-a-list"),
        pytest.param({"aud": [AUDIENCE, 7]}, ["refused: aud"], id="V13-a-number"),
    ],
)
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """V13, V16, T36, T42, T61, T62: one claim off is one refusal."""
    assert SAMPLE.decide(changes) == wrong


@pytest.mark.parametrize("claim", ["sub", "stepUuid", "pipelineUuid", "branchName", "deploymentEnvironmentUuid"])
def test_a_run_and_a_second_spelling_are_no_conditions(claim: str) -> None:
    """T65, T84: the subject is never twice the same."""
    assert not BITBUCKET.may_condition(claim)


@pytest.mark.parametrize("typed", [uuid(0xAB), f"{{{uuid(0xAB)}}}", uuid(0xAB).upper()])
def test_a_uuid_gets_its_braces(typed: str) -> None:
    """M01: what people copy becomes what tokens carry."""
    assert BITBUCKET.normalise("repositoryUuid", typed) == f"{{{uuid(0xAB)}}}"
    assert BITBUCKET.normalise("branch", "refs/heads/main") == "main"


@pytest.mark.parametrize(("value", "good"), [(OTHER, True), (uuid(1), False), ("{acme}", False), (f"{OTHER}x", False)])
def test_the_ids_are_uuids_in_braces(value: str, good: bool) -> None:
    """D10."""
    assert (BITBUCKET.pin_problem("repositoryUuid", value) is None) is good
    assert (BITBUCKET.pin_problem("workspaceUuid", value) is None) is good


def test_a_new_issuer_accepts_the_list_it_has_to() -> None:
    """V13: an audience of one's own always comes with the default one."""
    assert BITBUCKET.allow_multiple_audiences
