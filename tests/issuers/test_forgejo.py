"""What a Forgejo Actions token means."""

from __future__ import annotations

import pytest

from keyless.issuers.forgejo import FORGEJO
from keyless.issuers.github import GUARDED_EVENTS
from keyless.testing.claims import DROP
from tests.issuers.samples import SAMPLES, SHA

SAMPLE = SAMPLES["forgejo"]
OWN = "acme/widgets/.forgejo/workflows"
MAIN = "refs/heads/main"


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({"repository_id": "22"}, ["repository_id"], id="T61-created-again"),
        pytest.param({"repository_id": 21}, [], id="M01-a-number-is-its-decimal"),
        pytest.param({"repository_id": DROP}, ["refused: repository_id"], id="V14-no-repository"),
        pytest.param({"repository_owner_id": "12"}, ["repository_owner_id"], id="T60-another-owner-of-that-name"),
        pytest.param({"repository_owner_id": DROP}, ["refused: repository_owner_id"], id="V14-no-owner"),
        pytest.param({"repository": "Acme/Widgets"}, [], id="M04-case"),
        pytest.param({"repository": "acme/other"}, ["repository", "workflow"], id="V16-renamed"),
        pytest.param({"ref": "refs/heads/evil"}, ["branch", "workflow"], id="T72-branch"),
        pytest.param({"ref": "refs/tags/main", "ref_type": "tag"}, ["branch", "workflow"], id="T88-tag"),
        pytest.param({"ref_type": "tag"}, ["branch"], id="T88-prefix-and-type-differ"),
        pytest.param({"ref_type": DROP}, [], id="T88-type-unsaid"),
        pytest.param({"ref": DROP}, ["branch", "workflow"], id="M02-no-ref"),
        pytest.param({"ref_protected": "false"}, ["ref_protected"], id="T82-not-protected"),
        pytest.param({"ref_protected": True}, [], id="M01-boolean"),
        pytest.param({"workflow": "other.yml"}, [], id="T69-the-tokens-own-word-is-not-read"),
        pytest.param({"workflow_ref": f"{OWN}/evil.yml@{MAIN}"}, ["workflow"], id="V16-another-workflow"),
        pytest.param({"workflow_ref": DROP}, ["refused: workflow_ref"], id="V14-no-workflow"),
        pytest.param({"event_name": "pull_request_target"}, ["event_name"], id="T74-pull-request-target"),
        pytest.param({"event_name": DROP}, ["refused: event_name"], id="V14-no-event"),
        pytest.param({"sub": "repo:evil-1/widgets-2:ref:refs/heads/main"}, [], id="T67-the-subject-is-not-read"),
    ],
)
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """V15, V16, T60, T61, T72: one claim off is one refusal."""
    assert SAMPLE.decide(changes) == wrong


@pytest.mark.parametrize(
    ("workflow_ref", "ref", "expected"),
    [
        pytest.param(f"{OWN}/release.yml@{MAIN}", MAIN, "release.yml", id="branch"),
        pytest.param(f"{OWN}/release.yml@refs/tags/v1", "refs/tags/v1", "release.yml", id="tag"),
        pytest.param(f"{OWN}/release.yml@{SHA}", MAIN, "release.yml", id="commit"),
        pytest.param(f"acme/widgets/.gitea/workflows/a.yml@{MAIN}", MAIN, "a.yml", id="gitea-folder"),
        pytest.param(f"acme/widgets/.github/workflows/a.yml@{MAIN}", MAIN, "a.yml", id="github-folder"),
        pytest.param(f"ACME/Widgets/.forgejo/workflows/a.yml@{MAIN}", MAIN, "a.yml", id="case"),
        pytest.param(f"{OWN}/a.yml@refs/heads/x@y", "refs/heads/x@y", "a.yml", id="at-in-branch"),
        pytest.param(f"{OWN}/a.yml@refs/heads/other", MAIN, None, id="other-ref"),
        pytest.param(f"{OWN}/a.yml@main", MAIN, None, id="short-ref"),
        pytest.param(f"{OWN}/a.yml@", "", None, id="empty-ref"),
        pytest.param(f"{OWN}/a.yml", MAIN, None, id="no-ref"),
        pytest.param(f"{OWN}/evil/a.yml@{MAIN}", MAIN, None, id="sub-folder"),
        pytest.param(f"{OWN}/@{MAIN}", MAIN, None, id="empty-file"),
        pytest.param(f"{OWN}/a.yml@evil.yml@{MAIN}", MAIN, None, id="at-in-file"),
        pytest.param(f"acme/widgets2/.forgejo/workflows/a.yml@{MAIN}", MAIN, None, id="longer-repository"),
        pytest.param(f"evil/acme/widgets/.forgejo/workflows/a.yml@{MAIN}", MAIN, None, id="suffix-match"),
        pytest.param(f"evil/widgets/.forgejo/workflows/a.yml@{MAIN}", MAIN, None, id="another-owner"),
        pytest.param(f"acme/widgets/.forgejo/scripts/a.yml@{MAIN}", MAIN, None, id="other-folder"),
        pytest.param(f"acme/widgets/x/.forgejo/workflows/a.yml@{MAIN}", MAIN, None, id="deeper"),
        pytest.param(
            f"{OWN}/evil.yml@refs/heads/x/.forgejo/workflows/a.yml@{MAIN}", MAIN, None, id="own-path-inside-the-ref"
        ),
        pytest.param("a.yml", MAIN, None, id="bare-file"),
    ],
)
def test_the_workflow_is_the_file_of_the_tokens_own_repository_and_ref(
    workflow_ref: str, ref: str, expected: str | None
) -> None:
    """T70: the truth table of `workflow_ref`."""
    assert SAMPLE.attributes(workflow_ref=workflow_ref, ref=ref).get("workflow") == expected


def test_without_a_repository_there_is_no_own_workflow() -> None:
    """T70, M02: nothing is not the beginning of everything."""
    assert "workflow" not in SAMPLE.attributes(repository="", workflow_ref=f"/.forgejo/workflows/a.yml@{MAIN}")
    assert "workflow" not in SAMPLE.attributes(repository=DROP, workflow_ref=f"/.forgejo/workflows/a.yml@{MAIN}")


@pytest.mark.parametrize("event", sorted(GUARDED_EVENTS))
def test_an_event_that_runs_a_strangers_input_must_be_named(event: str) -> None:
    """V15, T74: and naming it is enough."""
    assert SAMPLE.decide({"event_name": event}, conditions={}) == ["event_name"]
    assert SAMPLE.decide({"event_name": event}, conditions={"event_name": event}) == []


@pytest.mark.parametrize("claim", ["sub", "actor", "workflow_ref", "run_id", "run_number", "head_ref", "environment"])
def test_what_a_person_or_a_run_decides_is_no_condition(claim: str) -> None:
    """T65, T67, T84; and an environment is not in these tokens."""
    assert not FORGEJO.may_condition(claim)


@pytest.mark.parametrize(
    ("claim", "typed", "kept"),
    [
        ("workflow", ".forgejo/workflows/a.yml", "a.yml"),
        ("workflow", "a.yml", "a.yml"),
        ("branch", "refs/heads/main", "main"),
        ("tag", "refs/tags/v1", "v1"),
        ("ref", "refs/heads/main", "refs/heads/main"),
    ],
)
def test_what_people_type_becomes_what_tokens_carry(claim: str, typed: str, kept: str) -> None:
    """D11."""
    assert FORGEJO.normalise(claim, typed) == kept
