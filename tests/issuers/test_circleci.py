"""What a CircleCI token means."""

from __future__ import annotations

import pytest

from keyless.errors import ConfigurationError, MissingClaimError
from keyless.issuers.circleci import (
    CIRCLECI,
    CONTEXT_IDS,
    DEFINITION_ID,
    ORG_ID,
    PROJECT_ID,
    SSH_RERUN,
    VCS_ORIGIN,
    VCS_REF,
)
from keyless.testing.claims import DROP
from tests.issuers.samples import SAMPLES, uuid

SAMPLE = SAMPLES["circleci"]
OTHER = uuid(0xB2)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({ORG_ID: OTHER}, [f"refused: {ORG_ID}"], id="T36-another-organisation"),
        pytest.param({ORG_ID: DROP}, [f"refused: {ORG_ID}"], id="V14-no-organisation"),
        pytest.param({ORG_ID: [str(SAMPLE.claims[ORG_ID])]}, [f"refused: {ORG_ID}"], id="V10-organisation-as-a-list"),
        pytest.param({PROJECT_ID: OTHER}, [PROJECT_ID], id="T61-another-project"),
        pytest.param({PROJECT_ID: DROP}, [f"refused: {PROJECT_ID}"], id="V14-no-project"),
        pytest.param({SSH_RERUN: True}, [f"refused: {SSH_RERUN}"], id="T76-rerun-with-ssh"),
        pytest.param({SSH_RERUN: "true"}, [f"refused: {SSH_RERUN}"], id="T82-rerun-as-text"),
        pytest.param({SSH_RERUN: "false"}, [f"refused: {SSH_RERUN}"], id="T82-no-rerun-as-text"),
        pytest.param({SSH_RERUN: 0}, [f"refused: {SSH_RERUN}"], id="T82-no-rerun-as-number"),
        pytest.param({SSH_RERUN: None}, [f"refused: {SSH_RERUN}"], id="M02-rerun-null"),
        pytest.param({SSH_RERUN: DROP}, [f"refused: {SSH_RERUN}"], id="M02-rerun-unsaid"),
        pytest.param({VCS_ORIGIN: "github.com/evil/widgets"}, [VCS_ORIGIN], id="T75-fork"),
        pytest.param({VCS_ORIGIN: "github.com/acme/widgets2"}, [VCS_ORIGIN], id="S09-longer"),
        pytest.param({VCS_ORIGIN: DROP}, [VCS_ORIGIN], id="M02-custom-webhook"),
        pytest.param({VCS_REF: "refs/heads/evil"}, ["branch"], id="T72-branch"),
        pytest.param({VCS_REF: "refs/tags/main"}, ["branch"], id="T88-tag-of-that-name"),
        pytest.param({VCS_REF: "refs/pull/1/head"}, ["branch"], id="T88-pull-request"),
        pytest.param({VCS_REF: DROP}, ["branch"], id="M02-no-ref"),
        pytest.param({DEFINITION_ID: OTHER}, [DEFINITION_ID], id="V16-another-configuration"),
        pytest.param({CONTEXT_IDS: [uuid(6)]}, [f"context:{uuid(5)}"], id="M01-another-context"),
        pytest.param({CONTEXT_IDS: []}, [f"context:{uuid(5)}"], id="M01-no-context"),
        pytest.param({CONTEXT_IDS: DROP}, [f"context:{uuid(5)}"], id="M02-contexts-unsaid"),
        pytest.param({CONTEXT_IDS: f"{uuid(5)} {uuid(6)}"}, [f"refused: {CONTEXT_IDS}"], id="T83-contexts-as-text"),
        pytest.param({CONTEXT_IDS: [uuid(5), 7]}, [f"refused: {CONTEXT_IDS}"], id="V10-a-number-among-them"),
        pytest.param({CONTEXT_IDS: [uuid(5), ""]}, [f"refused: {CONTEXT_IDS}"], id="V10-an-empty-one-among-them"),
        pytest.param({CONTEXT_IDS: [uuid(5)] * 65}, [f"refused: {CONTEXT_IDS}"], id="V10-too-many"),
        pytest.param({CONTEXT_IDS: {uuid(5): True}}, [f"refused: {CONTEXT_IDS}"], id="V10-contexts-as-an-object"),
        pytest.param({f"context:{uuid(5)}": "true", CONTEXT_IDS: []}, [f"context:{uuid(5)}"], id="T83-posing"),
        pytest.param({"org-id": OTHER, "branch": "evil"}, [], id="V14-unknown-claims"),
    ],
)
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """V15, V16, T36, T75, T76: one claim off is one refusal."""
    assert SAMPLE.decide(changes) == wrong


def test_a_token_that_says_nothing_of_ssh_is_not_accused_of_it() -> None:
    """M02, D12: refused, and for what it is."""
    with pytest.raises(MissingClaimError):
        SAMPLE.attributes(**{SSH_RERUN: DROP})


@pytest.mark.parametrize(
    ("url", "organisation", "wrong"),
    [
        (SAMPLE.url, OTHER, [f"refused: {ORG_ID}"]),
        (f"https://oidc.circleci.com/org/{OTHER}", str(SAMPLE.claims[ORG_ID]), [f"refused: {ORG_ID}"]),
        (f"https://oidc.circleci.com/org/{OTHER}", OTHER, [ORG_ID]),
        ("https://oidc.circleci.com", str(SAMPLE.claims[ORG_ID]), []),
        ("https://oidc.circleci.com", OTHER, [ORG_ID]),
        ("https://circleci.acme.example", str(SAMPLE.claims[ORG_ID]), []),
    ],
)
def test_an_organisations_issuer_speaks_for_it_alone(url: str, organisation: str, wrong: list[str]) -> None:
    """M00, T36: all organisations' issuers have the same keys, and the root issuer names none."""
    assert SAMPLE.at(url).decide({ORG_ID: organisation}) == wrong


def test_a_publisher_names_the_repository_because_a_forks_build_has_the_projects_ids() -> None:
    """T75, V15: and where no repository is named, which configuration."""
    assert SAMPLE.decide(conditions={"branch": "main"}) == [VCS_ORIGIN]
    assert SAMPLE.decide({VCS_ORIGIN: DROP}, conditions={}) == [DEFINITION_ID]
    assert SAMPLE.decide({VCS_ORIGIN: DROP}, conditions={DEFINITION_ID: uuid(4)}) == []
    assert SAMPLE.decide(conditions={DEFINITION_ID: uuid(4)}) == [VCS_ORIGIN]


def test_every_context_of_a_job_can_be_demanded() -> None:
    """M01: an explicit "contains", for each member by itself."""
    needed = dict(SAMPLE.needed)

    assert SAMPLE.decide(conditions={**needed, f"context:{uuid(5)}": "true", f"context:{uuid(6)}": "true"}) == []
    assert SAMPLE.decide(conditions={**needed, f"context:{uuid(7)}": "true"}) == [f"context:{uuid(7)}"]
    assert SAMPLE.decide(conditions={**needed, CONTEXT_IDS: uuid(5)}) == [CONTEXT_IDS]


@pytest.mark.parametrize("value", ["false", "True", "yes", ""])
def test_a_context_cannot_be_demanded_to_be_absent(value: str) -> None:
    """M02: there are no negative rules, and none by accident."""
    with pytest.raises(ConfigurationError):
        CIRCLECI.normalise(f"context:{uuid(5)}", value)


@pytest.mark.parametrize(
    ("claim", "allowed"),
    [
        (VCS_ORIGIN, True), (DEFINITION_ID, True), ("branch", True), ("tag", True), ("ref", True),
        (f"context:{uuid(5)}", True), ("context:", False), ("context", False), (CONTEXT_IDS, False), (VCS_REF, False),
        ("sub", False), (SSH_RERUN, False), ("oidc.circleci.com/job-id", False), ("oidc.circleci.com/user-id", False),
    ],
)  # fmt: skip
def test_what_may_be_demanded(claim: str, allowed: bool) -> None:
    """T65, T84, M01: not a composed subject, not a run, and no list as if it were a text."""
    assert CIRCLECI.may_condition(claim) is allowed


@pytest.mark.parametrize(
    ("value", "good"),
    [(uuid(1), True), (uuid(0xAB).upper(), False), (f"{{{uuid(1)}}}", False), ("acme", False), (f"{uuid(1)}\n", False)],
)
def test_the_ids_are_uuids(value: str, good: bool) -> None:
    """D10: a name is no id."""
    assert (CIRCLECI.pin_problem(ORG_ID, value) is None) is good
    assert (CIRCLECI.pin_problem(PROJECT_ID, value) is None) is good
