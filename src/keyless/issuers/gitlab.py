"""GitLab CI/CD: gitlab.com and self-managed instances.

Source: GitLab docs, "OpenID Connect (OIDC) Authentication Using ID Tokens". Booleans are texts. The same issuer also
signs people's logins, so claims that only a CI job has are required (T17).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keyless.issuers.profile import Attributes, Guard, Profile, fold_ascii
from keyless.oidc.issuer import ReplayMode

GUARDED_SOURCES: Final = frozenset({"merge_request_event", "external_pull_request_event"})  # V15


def _derive(claims: dict[str, str]) -> None:
    # `ref` has no prefix here, so a branch and a tag of one name look alike without `ref_type` (T88).
    ref_type = claims.get("ref_type")
    if ref_type in {"branch", "tag"} and "ref" in claims:
        claims[ref_type] = claims["ref"]
    # host/group/project//path/to/file.yml@refs/heads/main
    before, found, rest = claims.get("ci_config_ref_uri", "").partition("//")
    file, _at, config_ref = rest.partition("@")
    # A project's path may end in another's (`evil/acme/widgets`), so what stands before it must be the host alone, or
    # the issuer's own host and path where the instance is not at the root of its host.
    roots = {before.partition("/")[0], claims.get("iss", "").partition("://")[2]}
    paths = {fold_ascii(f"{root}/{claims.get('project_path', '')}") for root in roots}
    own_refs = {claims.get("ref_path"), claims.get("sha")} - {"", None}
    if found and file and config_ref in own_refs and fold_ascii(before) in paths:
        claims["workflow"] = file


def _guards(attributes: Attributes) -> Sequence[Guard]:
    guards = []
    for claim in ("pipeline_source", "job_source"):
        if (source := attributes.get(claim, "")) in GUARDED_SOURCES:
            guards.append(Guard(claim, f"a {source!r} pipeline can run a stranger's code"))
    job_project = attributes.get("job_project_id")
    if job_project is not None and job_project != attributes.get("project_id"):
        # Since GitLab 18.4 these differ in a fork's merge-request pipeline: `project_id` is the fork's (T75).
        guards.append(Guard("job_project_id", "the job runs in another project than the one its code comes from"))
    return guards


def _normalise(claim: str, value: str) -> str:
    if claim == "branch":
        return value.removeprefix("refs/heads/")
    if claim == "tag":
        return value.removeprefix("refs/tags/")
    return value


GITLAB: Final = Profile(
    kind="gitlab",
    default_url="https://gitlab.com",
    required_claims=("project_id", "project_path", "namespace_id", "namespace_path", "pipeline_id", "job_id"),
    optional_claims=(
        "ref",
        "ref_type",
        "ref_path",
        "ref_protected",
        "environment",
        "environment_protected",
        "deployment_tier",
        "pipeline_source",
        "job_source",
        "job_project_id",
        "job_project_path",
        "job_namespace_id",
        "ci_config_ref_uri",
        "ci_config_sha",
        "runner_environment",
        "project_visibility",
        "sha",
        "user_id",
    ),
    derived_claims=("branch", "tag", "workflow"),
    hidden_claims=frozenset({"pipeline_id", "job_id", "ci_config_ref_uri", "user_id"}),
    ignored_claims=("user_login", "user_email", "user_access_level", "user_identities", "groups_direct", "runner_id"),
    id_claims=("project_id", "namespace_id"),
    glob_claims=frozenset({"branch", "tag", "ref", "ref_path"}),
    folded_claims=frozenset({"project_path", "namespace_path", "job_project_path"}),
    guarded={
        "pipeline_source": "`merge_request_event`, `external_pull_request_event`",
        "job_source": "as `pipeline_source`",
        "job_project_id": "it is not `project_id`: the job runs in another project than its code comes from",
    },
    notes={
        "project_id": "unique within one instance: the issuer counts too",
        "workflow": "path of the configuration out of `ci_config_ref_uri`, of the token's own project, ref or commit",
        "branch": "`ref` where `ref_type` is `branch`",
        "tag": "`ref` where `ref_type` is `tag`",
        "ref_protected": "`true` or `false`",
        "environment_protected": "`true` or `false`",
    },
    derive=_derive,
    guards=_guards,
    normalise=_normalise,
    repository_claim="project_path",
    subject_claims=(
        "project_path",
        "project_id",
        "namespace_id",
        "job_project_id",
        "ref_path",
        "ref",
        "ref_type",
        "ci_config_ref_uri",
        "environment",
        "pipeline_source",
        "sha",
        "pipeline_id",
        "job_id",
    ),
    max_lifetime_seconds=6 * 3600,  # V12: a token lives as long as the job may run
    max_age_seconds=6 * 3600,
    replay=ReplayMode.COUNTED,  # D8: the job gets its token once
)
