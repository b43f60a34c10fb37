"""What a GitLab CI token means."""

from __future__ import annotations

import pytest

from keyless.errors import InvalidClaimError
from keyless.issuers.gitlab import GITLAB, GUARDED_SOURCES
from keyless.testing.claims import DROP, gitlab_claims

HOST = "gitlab.example.com"
SHA = str(gitlab_claims()["sha"])
OWN = f"{HOST}/acme/widgets//"


def attributes(**overrides: object) -> dict[str, str]:
    """Return what conditions see of a push pipeline on main, changed."""
    return GITLAB.attributes({"iss": f"https://{HOST}", **gitlab_claims(**overrides)})


def guarded(**overrides: object) -> set[str]:
    """Return the claims that a publisher has to name for such a token."""
    return {guard.claim for guard in GITLAB.guards(attributes(**overrides))}


def test_a_push_pipeline_on_main_says_so() -> None:
    """V16: the derived claims of the ordinary case, which needs no guard."""
    seen = attributes()

    assert (seen["branch"], seen["workflow"]) == ("main", ".gitlab-ci.yml")
    assert "tag" not in seen
    assert guarded() == set()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param(f"{OWN}.gitlab-ci.yml@refs/heads/main", ".gitlab-ci.yml", id="root"),
        pytest.param(f"{OWN}ci/release.yml@refs/heads/main", "ci/release.yml", id="folder"),
        pytest.param(f"{OWN}.gitlab-ci.yml@{SHA}", ".gitlab-ci.yml", id="commit"),
        pytest.param(f"{HOST}/ACME/Widgets//.gitlab-ci.yml@refs/heads/main", ".gitlab-ci.yml", id="case"),
        pytest.param(f"{OWN}a//b.yml@refs/heads/main", "a//b.yml", id="two-slashes-in-file"),
        pytest.param(f"{HOST}/evil/acme/widgets//.gitlab-ci.yml@refs/heads/main", None, id="path-ending-in-ours"),
        pytest.param(f"{HOST}/acme/widgets2//.gitlab-ci.yml@refs/heads/main", None, id="longer-path"),
        pytest.param(f"{HOST}/xacme/widgets//.gitlab-ci.yml@refs/heads/main", None, id="longer-group"),
        pytest.param(f"{HOST}/acme/widgets/sub//.gitlab-ci.yml@refs/heads/main", None, id="below-ours"),
        pytest.param("/acme/widgets//.gitlab-ci.yml@refs/heads/main", ".gitlab-ci.yml", id="host-left-out"),
        pytest.param("acme/widgets//.gitlab-ci.yml@refs/heads/main", None, id="only-the-path"),
        pytest.param(f"{OWN}.gitlab-ci.yml@refs/heads/other", None, id="other-ref"),
        pytest.param(f"{OWN}.gitlab-ci.yml@main", None, id="short-ref"),
        pytest.param(f"{OWN}.gitlab-ci.yml@", None, id="empty-ref"),
        pytest.param(f"{OWN}.gitlab-ci.yml", None, id="no-ref"),
        pytest.param(f"{OWN}evil.yml@x/.gitlab-ci.yml@refs/heads/main", None, id="at-in-file"),
        pytest.param(f"{OWN}@refs/heads/main", None, id="empty-file"),
        pytest.param(f"{HOST}/acme/widgets/.gitlab-ci.yml@refs/heads/main", None, id="one-slash"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param(DROP, None, id="absent"),
    ],
)
def test_the_workflow_is_the_config_file_of_the_tokens_own_project_and_ref(uri: object, expected: str | None) -> None:
    """T70: null when the configuration lives elsewhere, and then no `workflow` condition can hold."""
    assert attributes(ci_config_ref_uri=uri).get("workflow") == expected


def test_an_instance_below_a_path_of_its_host_is_known_by_its_issuer() -> None:
    """T70: GitLab may live at `https://host/gitlab`."""
    claims = gitlab_claims(ci_config_ref_uri="git.example.com/gitlab/acme/widgets//.gitlab-ci.yml@refs/heads/main")

    assert GITLAB.attributes({**claims, "iss": "https://git.example.com/gitlab"})["workflow"] == ".gitlab-ci.yml"
    assert "workflow" not in GITLAB.attributes({**claims, "iss": "https://git.example.com"})


@pytest.mark.parametrize(
    ("ref", "ref_type", "branch", "tag"),
    [
        ("main", "branch", "main", None),
        ("v1.0", "tag", None, "v1.0"),
        ("v1.0", "branch", "v1.0", None),
        ("main", DROP, None, None),
        ("main", "merge_request", None, None),
        ("main", "Branch", None, None),
        (DROP, "branch", None, None),
    ],
)
def test_a_branch_is_not_a_tag(ref: object, ref_type: object, branch: str | None, tag: str | None) -> None:
    """T88: `ref` alone does not say which."""
    seen = attributes(ref=ref, ref_type=ref_type)

    assert (seen.get("branch"), seen.get("tag")) == (branch, tag)


@pytest.mark.parametrize("name", ["branch", "tag", "workflow"])
def test_a_claim_cannot_pose_as_a_derived_one(name: str) -> None:
    """T69."""
    assert attributes(**{name: "forged"}, ref_type=DROP, ci_config_ref_uri=None).get(name) is None


@pytest.mark.parametrize("claim", ["pipeline_source", "job_source"])
@pytest.mark.parametrize("source", sorted(GUARDED_SOURCES))
def test_a_merge_request_pipeline_must_be_named(claim: str, source: str) -> None:
    """V15."""
    assert guarded(**{claim: source}) == {claim}


@pytest.mark.parametrize("source", ["push", "web", "schedule", "api", "trigger", "pipeline"])
def test_an_ordinary_pipeline_needs_no_name(source: str) -> None:
    """V15."""
    assert guarded(pipeline_source=source) == set()


@pytest.mark.parametrize(
    ("job_project_id", "expected"),
    [
        pytest.param("20", set(), id="same"),
        pytest.param(20, set(), id="same-as-a-number"),
        pytest.param("99", {"job_project_id"}, id="other"),
        pytest.param(99, {"job_project_id"}, id="other-as-a-number"),
        pytest.param("", {"job_project_id"}, id="empty"),
        pytest.param(DROP, set(), id="absent"),
        pytest.param(None, set(), id="null"),
    ],
)
def test_a_job_that_runs_in_another_project_must_be_named(job_project_id: object, expected: set[str]) -> None:
    """T75: a fork's merge-request pipeline; older versions do not say."""
    assert guarded(job_project_id=job_project_id) == expected


@pytest.mark.parametrize("claim", ["pipeline_source", "job_source", "job_project_id", "ref", "environment"])
@pytest.mark.parametrize("value", [["x"], {"a": "x"}, 1.5, "a\nb"], ids=ascii)
def test_a_claim_we_read_must_be_comparable(claim: str, value: object) -> None:
    """V10, V15: a guard must not be passed because the value that should alarm it has another type."""
    with pytest.raises(InvalidClaimError):
        attributes(**{claim: value})


@pytest.mark.parametrize("claim", ["groups_direct", "user_identities", "user_access_level"])
def test_a_claim_we_do_not_read_may_be_anything(claim: str) -> None:
    """V14."""
    assert claim not in attributes(**{claim: [{"a": 1}]})


@pytest.mark.parametrize(
    "claim", ["user_login", "user_email", "user_id", "pipeline_id", "job_id", "sub", "ci_config_ref_uri"]
)
def test_what_a_person_or_a_run_decides_is_no_condition(claim: str) -> None:
    """T84, T65."""
    assert not GITLAB.may_condition(claim)


@pytest.mark.parametrize("claim", ["project_path", "branch", "tag", "workflow", "environment", "ref_protected"])
def test_what_a_publisher_means_is_a_condition(claim: str) -> None:
    """S11."""
    assert GITLAB.may_condition(claim)


def test_case_is_folded_where_the_platform_folds_it() -> None:
    """M04: paths; environments are case-sensitive here."""
    assert GITLAB.folded_claims == {"project_path", "namespace_path", "job_project_path"}


def test_only_a_ci_job_has_the_required_claims() -> None:
    """T17: the same issuer signs people's logins."""
    assert {"project_id", "namespace_id", "pipeline_id", "job_id"} <= set(GITLAB.required_claims)
    assert GITLAB.id_claims == ("project_id", "namespace_id")


@pytest.mark.parametrize(
    ("claim", "typed", "kept"),
    [("branch", "refs/heads/main", "main"), ("tag", "refs/tags/v1", "v1"), ("workflow", "ci/x.yml", "ci/x.yml")],
)
def test_what_people_type_becomes_what_tokens_carry(claim: str, typed: str, kept: str) -> None:
    """S11."""
    assert GITLAB.normalise(claim, typed) == kept
