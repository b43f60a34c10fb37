"""What a Buildkite token means."""

from __future__ import annotations

import pytest

from keyless.issuers.buildkite import BUILDKITE
from keyless.testing.claims import DROP
from tests.issuers.samples import SAMPLES, uuid

SAMPLE = SAMPLES["buildkite"]
OTHER = uuid(0xB2)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({"organization_id": OTHER}, ["organization_id"], id="T60-another-organisation-of-that-name"),
        pytest.param({"organization_id": DROP}, ["refused: organization_id"], id="M00-not-asked-for"),
        pytest.param({"organization_id": None}, ["refused: organization_id"], id="M02-null"),
        pytest.param({"pipeline_id": OTHER}, ["pipeline_id"], id="T61-another-pipeline-of-that-name"),
        pytest.param({"pipeline_id": DROP}, ["refused: pipeline_id"], id="M00-pipeline-not-asked-for"),
        pytest.param({"organization_slug": "evil"}, ["pipeline"], id="V16-another-slug"),
        pytest.param({"pipeline_slug": "train"}, ["pipeline"], id="V16-another-pipelines-slug"),
        pytest.param({"organization_slug": DROP}, ["refused: organization_slug"], id="V14-no-slug"),
        pytest.param({"job_id": DROP}, ["refused: job_id"], id="V14-no-job"),
        pytest.param({"build_branch": "evil"}, ["branch"], id="T72-branch"),
        pytest.param({"build_branch": DROP}, ["branch"], id="M02-no-branch"),
        pytest.param({"build_tag": "main"}, ["branch"], id="T88-a-tag-called-like-the-branch"),
        pytest.param({"build_tag": ""}, [], id="M02-an-empty-tag-is-none"),
        pytest.param({"build_source": "ui"}, ["build_source"], id="V16-started-by-hand"),
        pytest.param({"step_key": None}, ["step_key"], id="M02-no-step-key"),
        pytest.param({"step_key": "build"}, ["step_key"], id="V16-another-step"),
        pytest.param({"step_key": ["publish"]}, ["refused: step_key"], id="T83-list"),
        pytest.param({"build_branch": DROP, "branch": "main"}, ["branch"], id="T69-posing-as-derived"),
        pytest.param({"jti": DROP}, [], id="T49-older-agents-have-no-jti"),
    ],
)
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """V16, T36, T60, T61, T88: one claim off is one refusal."""
    assert SAMPLE.decide(changes) == wrong


@pytest.mark.parametrize(
    ("branch", "tag", "expected"),
    [
        ("main", None, ("main", None)),
        ("main", "", ("main", None)),
        ("v1.0", "v1.0", (None, "v1.0")),
        ("main", "v1.0", (None, "v1.0")),
        (DROP, "v1.0", (None, "v1.0")),
        ("", DROP, (None, None)),
    ],
)
def test_a_build_of_a_tag_has_no_branch(branch: object, tag: object, expected: tuple[str | None, str | None]) -> None:
    """T88: the platform repeats a tag's name as the branch."""
    seen = SAMPLE.attributes(build_branch=branch, build_tag=tag)

    assert (seen.get("branch"), seen.get("tag")) == expected


@pytest.mark.parametrize(
    "claim",
    ["sub", "organization_slug", "pipeline_slug", "build_branch", "build_commit", "agent_id", "agent_tag:queue"],
)
def test_names_runs_and_second_spellings_are_no_conditions(claim: str) -> None:
    """T65, T84: `pipeline`, `branch` and `tag` say it."""
    assert not BUILDKITE.may_condition(claim)


@pytest.mark.parametrize(("value", "good"), [(OTHER, True), ("acme", False), (uuid(0xAB).upper(), False)])
def test_the_ids_are_uuids(value: str, good: bool) -> None:
    """D10."""
    assert (BUILDKITE.pin_problem("pipeline_id", value) is None) is good
