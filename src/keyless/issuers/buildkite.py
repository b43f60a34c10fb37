"""Buildkite: one issuer for every organisation.

Source: Buildkite docs, "OIDC in Buildkite Pipelines" and "buildkite-agent oidc". Slugs can be renamed and taken by
others; the ids are in a token only when the job asks: `--claim organization_id,pipeline_id`. We refuse a token without
them. Nothing names the repository or the pipeline's file: trust ends at the pipeline.
"""

from __future__ import annotations

from typing import Final

from keyless.issuers.profile import UUID, Profile, bare_ref
from keyless.oidc.issuer import ReplayMode


def _derive(claims: dict[str, str]) -> None:
    if "organization_slug" in claims and "pipeline_slug" in claims:
        claims["pipeline"] = f"{claims['organization_slug']}/{claims['pipeline_slug']}"  # slugs have no slash
    # A build of a tag carries the tag's name as its branch, so without this a tag could pose as a branch (T88).
    if tag := claims.get("build_tag"):
        claims["tag"] = tag
    elif branch := claims.get("build_branch"):
        claims["branch"] = branch


BUILDKITE: Final = Profile(
    kind="buildkite",
    default_url="https://agent.buildkite.com",
    required_claims=("organization_slug", "pipeline_slug", "organization_id", "pipeline_id", "job_id"),
    optional_claims=(
        "build_branch",
        "build_tag",
        "build_source",
        "build_commit",
        "build_number",
        "build_id",
        "step_key",
        "cluster_id",
        "cluster_name",
        "queue_id",
        "queue_key",
        "runner_environment",
        "agent_id",
    ),
    derived_claims=("pipeline", "branch", "tag"),
    hidden_claims=frozenset(
        {
            "organization_slug",
            "pipeline_slug",
            "build_branch",
            "build_tag",
            "build_commit",
            "build_number",
            "build_id",
            "job_id",
            "agent_id",
        }
    ),
    ignored_claims=("agent_tag:*",),
    pin_claims={"organization_id": UUID, "pipeline_id": UUID},
    glob_claims=frozenset({"branch", "tag"}),
    notes={
        "organization_id": "only if the job asks with `--claim organization_id,pipeline_id`",
        "pipeline_id": "as `organization_id`; builds of a stranger's fork have it too: switch those off",
        "pipeline": "`organization_slug/pipeline_slug`",
        "branch": "`build_branch` of a build that has no tag; whoever opens a pull request chooses it",
        "tag": "`build_tag`",
        "build_source": "`ui`, `api`, `webhook`, `trigger_job` or `schedule`",
        "step_key": "absent unless the step has a key; whoever edits the pipeline chooses it",
        "cluster_id": "only if the job asks for it, like `queue_id`, `cluster_name` and `queue_key`",
    },
    derive=_derive,
    normalise=bare_ref,
    repository_claim="pipeline",
    subject_claims=(
        "organization_slug",
        "organization_id",
        "pipeline_slug",
        "pipeline_id",
        "build_branch",
        "build_tag",
        "build_source",
        "step_key",
        "runner_environment",
        "build_commit",
        "build_number",
        "job_id",
    ),
    max_lifetime_seconds=7200,  # V12: the longest a job can ask for; 300 s unless it asks
    max_age_seconds=7200,
    replay=ReplayMode.ONCE,  # D8: a job can always ask again
)
