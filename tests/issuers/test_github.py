"""What a GitHub Actions token means."""

from __future__ import annotations

import pytest

from keyless.errors import InvalidClaimError
from keyless.issuers.github import GITHUB, GUARDED_EVENTS
from keyless.testing.claims import DROP, github_claims

SHA = str(github_claims()["sha"])
OWN = "acme/widgets/.github/workflows"
MAIN = "refs/heads/main"


def attributes(**overrides: object) -> dict[str, str]:
    """Return what conditions see of a push to main, changed."""
    return GITHUB.attributes(github_claims(**overrides))


def guarded(**overrides: object) -> set[str]:
    """Return the claims that a publisher has to name for such a token."""
    return {guard.claim for guard in GITHUB.guards(attributes(**overrides))}


def test_a_push_to_main_says_so() -> None:
    """V16: the derived claims of the ordinary case, which needs no guard."""
    seen = attributes()

    assert (seen["branch"], seen["workflow"], seen["job_workflow"]) == ("main", "train.yml", f"{OWN}/train.yml")
    assert "tag" not in seen
    assert guarded() == set()


@pytest.mark.parametrize(
    ("workflow_ref", "ref", "expected"),
    [
        pytest.param(f"{OWN}/train.yml@refs/heads/main", MAIN, "train.yml", id="branch"),
        pytest.param(f"{OWN}/train.yaml@refs/tags/v1.0", "refs/tags/v1.0", "train.yaml", id="tag"),
        pytest.param(f"{OWN}/train.yml@{SHA}", "", "train.yml", id="sha-without-ref"),
        pytest.param(f"{OWN}/train.yml@{SHA}", MAIN, "train.yml", id="sha-with-ref"),
        pytest.param(f"{OWN}/train.yml@refs/pull/7/merge", "refs/pull/7/merge", "train.yml", id="pull-request"),
        pytest.param("ACME/Widgets/.github/workflows/t.yml@refs/heads/main", MAIN, "t.yml", id="case"),
        pytest.param(f"{OWN}/a b.yml@refs/heads/main", "refs/heads/main", "a b.yml", id="space"),
        pytest.param(f"{OWN}/train.yml@refs/heads/a@b", "refs/heads/a@b", "train.yml", id="at-in-branch"),
        pytest.param(
            f"{OWN}/train.yml@refs/heads/x/.github/workflows/release.yml@refs/heads/main",
            "refs/heads/x/.github/workflows/release.yml@refs/heads/main", "train.yml", id="branch-like-a-workflow-ref",
        ),
        # From here on nothing is derived, so no `workflow` condition can hold.
        pytest.param(f"{OWN}/train.yml@refs/heads/other", MAIN, None, id="other-branch"),
        pytest.param(f"{OWN}/train.yml@refs/heads/main2", MAIN, None, id="longer-branch"),
        pytest.param(f"{OWN}/train.yml@main", MAIN, None, id="short-ref"),
        pytest.param(f"{OWN}/train.yml@refs/tags/main", MAIN, None, id="tag-of-that-name"),
        pytest.param(f"{OWN}/train.yml@" + "0" * 40, MAIN, None, id="other-sha"),
        pytest.param(f"{OWN}/train.yml@{SHA[:12]}", MAIN, None, id="short-sha"),
        pytest.param(f"{OWN}/train.yml@", "", None, id="empty-ref"),
        pytest.param(f"{OWN}/train.yml", MAIN, None, id="no-ref"),
        pytest.param(f"{OWN}/train.yml@evil.yml@refs/heads/main", MAIN, None, id="at-in-file"),
        pytest.param(f"{OWN}/evil/train.yml@refs/heads/main", MAIN, None, id="sub-folder"),
        pytest.param(f"{OWN}/../train.yml@refs/heads/main", MAIN, None, id="parent-folder"),
        pytest.param(f"{OWN}/@refs/heads/main", MAIN, None, id="empty-file"),
        pytest.param(f"evil{OWN}/train.yml@refs/heads/main", MAIN, None, id="prefix-of-owner"),
        pytest.param(f"evil/{OWN}/train.yml@refs/heads/main", MAIN, None, id="suffix-match"),
        pytest.param("acme/widgets2/.github/workflows/train.yml@refs/heads/main", MAIN, None, id="longer-repo"),
        pytest.param("evil/widgets/.github/workflows/train.yml@refs/heads/main", MAIN, None, id="other-owner"),
        pytest.param("widgets/.github/workflows/train.yml@refs/heads/main", MAIN, None, id="no-owner"),
        pytest.param("acme/widgets/workflows/train.yml@refs/heads/main", MAIN, None, id="other-folder"),
        pytest.param("acme/widgets/.GitHub/workflows/train.yml@refs/heads/main", MAIN, None, id="folder-case"),
        pytest.param("acme/widgets.github/workflows/train.yml@refs/heads/main", MAIN, None, id="no-slash"),
        pytest.param("/.github/workflows/train.yml@refs/heads/main", MAIN, None, id="no-repository"),
        pytest.param("train.yml", MAIN, None, id="bare-file"),
        pytest.param("@refs/heads/main", MAIN, None, id="only-a-ref"),
        pytest.param(
            "evil/x/.github/workflows/train.yml@refs/heads/acme/widgets/.github/workflows/train.yml@refs/heads/main",
            MAIN, None, id="own-path-inside-a-strangers-ref",
        ),
        pytest.param(
            f"{OWN}/evil.yml@refs/heads/x/.github/workflows/train.yml@refs/heads/main",
            MAIN, None, id="own-path-inside-the-ref",
        ),
    ],
)  # fmt: skip
def test_the_workflow_is_the_file_of_the_tokens_own_repository_and_ref(
    workflow_ref: str, ref: str, expected: str | None
) -> None:
    """T70: the truth table of `workflow_ref`."""
    seen = attributes(workflow_ref=workflow_ref, ref=ref, job_workflow_ref=workflow_ref)

    assert seen.get("workflow") == expected


@pytest.mark.parametrize("file", ["release.yml", "train.yml"])
def test_the_display_name_is_never_the_workflow(file: str) -> None:
    """T69: anyone who may push a branch may call a workflow what they like."""
    assert attributes(workflow=file)["workflow"] == "train.yml"
    assert "workflow" not in attributes(workflow=file, workflow_ref="elsewhere")


@pytest.mark.parametrize("name", ["branch", "tag", "job_workflow"])
def test_a_claim_cannot_pose_as_a_derived_one(name: str) -> None:
    """T69: only the profile derives; a claim of that name is no claim of ours."""
    assert attributes(**{name: "forged"}, ref="refs/pull/1/merge", job_workflow_ref="x").get(name) is None


@pytest.mark.parametrize(
    ("ref", "ref_type", "branch", "tag"),
    [
        ("refs/heads/main", "branch", "main", None),
        ("refs/heads/feature/x", "branch", "feature/x", None),
        ("refs/heads/refs/tags/v1", "branch", "refs/tags/v1", None),
        ("refs/tags/v1.0", "tag", None, "v1.0"),
        ("refs/tags/refs/heads/main", "tag", None, "refs/heads/main"),
        ("refs/heads/main", DROP, "main", None),
        ("refs/tags/v1", DROP, None, "v1"),
        ("refs/heads/main", "tag", None, None),
        ("refs/tags/v1", "branch", None, None),
        ("refs/pull/7/merge", "branch", None, None),
        ("refs/heads/", "branch", "", None),
        ("main", "branch", None, None),
        ("Refs/Heads/main", "branch", None, None),
        (" refs/heads/main", "branch", None, None),
        ("", "branch", None, None),
        (DROP, "branch", None, None),
    ],
)
def test_a_branch_is_not_a_tag(ref: object, ref_type: object, branch: str | None, tag: str | None) -> None:
    """T88: the prefix and `ref_type` have to agree."""
    seen = attributes(ref=ref, ref_type=ref_type)

    assert (seen.get("branch"), seen.get("tag")) == (branch, tag)


@pytest.mark.parametrize(
    "job_workflow_ref",
    [
        pytest.param("acme/shared/.github/workflows/publish.yml@refs/heads/main", id="other-repository"),
        pytest.param(f"{OWN}/publish.yml@refs/heads/main", id="other-file"),
        pytest.param(f"{OWN}/Train.yml@refs/heads/main", id="file-of-another-case"),
        pytest.param(f"{OWN}/train.yml@refs/heads/evil", id="same-file-of-another-branch"),
        pytest.param(f"{OWN}/train.yml@" + "0" * 40, id="same-file-of-another-commit"),
        pytest.param("evil/widgets/.github/workflows/train.yml@refs/heads/main", id="same-file-of-a-fork"),
        pytest.param("", id="empty"),
        pytest.param("nonsense", id="nonsense"),
    ],
)
def test_a_reusable_workflow_needs_both_files_named(job_workflow_ref: str) -> None:
    """M05, T71: naming one of them lets either everyone call, or the called file change."""
    assert guarded(job_workflow_ref=job_workflow_ref) == {"workflow", "job_workflow"}


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param({"job_workflow_ref": "ACME/WIDGETS/.github/workflows/train.yml@refs/heads/main"}, id="case"),
        pytest.param({"job_workflow_ref": f"{OWN}/train.yml@{SHA}"}, id="at-the-commit"),
        pytest.param({"job_workflow_ref": DROP}, id="absent"),
        pytest.param({"ref": "", "workflow_ref": f"{OWN}/train.yml@{SHA}"}, id="deployment-of-a-commit"),
    ],
)
def test_a_job_of_the_calling_file_itself_needs_nothing_named(overrides: dict[str, object]) -> None:
    """M05."""
    assert guarded(**overrides) == set()


def test_a_job_whose_caller_is_unknown_is_guarded() -> None:
    """M05: two unknown files are not the same file."""
    nonsense = {"workflow_ref": "nonsense", "job_workflow_ref": "nonsense"}

    assert guarded(**nonsense) == {"workflow", "job_workflow"}


def test_the_called_workflow_is_named_by_repository_and_file() -> None:
    """M05, M04: the platform folds the case of the first, not of the second."""
    called = "Acme/Shared/.github/workflows/Publish.yml@refs/tags/v1"

    assert attributes(job_workflow_ref=called)["job_workflow"] == "acme/shared/.github/workflows/Publish.yml"
    assert GITHUB.normalise("job_workflow", called.partition("@")[0]) == "acme/shared/.github/workflows/Publish.yml"


@pytest.mark.parametrize("event", sorted(GUARDED_EVENTS))
def test_an_event_that_runs_a_strangers_input_must_be_named(event: str) -> None:
    """V15, T74."""
    assert guarded(event_name=event) == {"event_name"}


@pytest.mark.parametrize(
    "event", ["pull_request", "pull_request_target", "workflow_run", "issue_comment", "pull_request_review"]
)
def test_the_list_of_guarded_events_is_the_documented_one(event: str) -> None:
    """V15."""
    assert event in GUARDED_EVENTS


@pytest.mark.parametrize("event", ["push", "workflow_dispatch", "release", "schedule", "repository_dispatch"])
def test_an_ordinary_event_needs_no_name(event: str) -> None:
    """V15."""
    assert guarded(event_name=event) == set()


@pytest.mark.parametrize(
    "claim", ["ref", "ref_type", "environment", "job_workflow_ref", "sha", "runner_environment", "repository_owner"]
)
@pytest.mark.parametrize(
    "value",
    [["x"], {"a": "x"}, 1.5, "a\nb", "a\u202eb", "a" * 1025],
    ids=["list", "object", "fraction", "newline", "direction-mark", "long"],
)
def test_a_claim_we_read_must_be_comparable(claim: str, value: object) -> None:
    """V10, T18, M05: a guard must not be passed because the value that should alarm it has another type."""
    with pytest.raises(InvalidClaimError) as caught:
        GITHUB.attributes({**github_claims(), claim: value})

    assert caught.value.claim == claim


@pytest.mark.parametrize("claim", ["environment", "ref", "job_workflow_ref"])
def test_null_is_absent(claim: str) -> None:
    """M02."""
    assert claim not in attributes(**{claim: None})


def test_an_integer_is_its_canonical_decimal() -> None:
    """M01."""
    assert attributes(repository_id=456789)["repository_id"] == "456789"


@pytest.mark.parametrize(
    "claim", ["actor", "workflow_ref", "job_workflow_ref", "run_id", "run_number", "sub", "head_ref"]
)
def test_what_a_stranger_or_a_run_decides_is_no_condition(claim: str) -> None:
    """T84, T65: the actor, the run, a composed subject."""
    assert not GITHUB.may_condition(claim)


@pytest.mark.parametrize(
    "claim", ["repository", "branch", "workflow", "environment", "event_name", "tag", "job_workflow"]
)
def test_what_a_publisher_means_is_a_condition(claim: str) -> None:
    """S10: the Hub's claim names."""
    assert GITHUB.may_condition(claim)


@pytest.mark.parametrize(
    ("claim", "typed", "kept"),
    [
        ("workflow", ".github/workflows/train.yml", "train.yml"),
        ("workflow", "train.yml", "train.yml"),
        ("branch", "refs/heads/main", "main"),
        ("branch", "main", "main"),
        ("tag", "refs/tags/v1", "v1"),
        ("ref", "refs/heads/main", "refs/heads/main"),
        ("environment", "Production", "Production"),
        ("job_workflow", "nonsense", "nonsense"),
    ],
)
def test_what_people_type_becomes_what_tokens_carry(claim: str, typed: str, kept: str) -> None:
    """S10."""
    assert GITHUB.normalise(claim, typed) == kept


def test_case_is_folded_where_the_platform_folds_it() -> None:
    """M04: names of accounts, repositories and environments; never ids, files or refs."""
    assert GITHUB.folded_claims == {"repository", "repository_owner", "environment"}


def test_the_pinned_ids_are_the_immutable_ones() -> None:
    """M00, D10, T60, T61."""
    assert GITHUB.id_claims == ("repository_id", "repository_owner_id")
