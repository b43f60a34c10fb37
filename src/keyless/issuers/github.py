"""GitHub Actions: github.com, GHE.com and Enterprise Server issuers.

Source: GitHub docs, "OpenID Connect reference". All claim values are texts, ids included.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from keyless.issuers.profile import Attributes, Guard, Profile, fold_ascii
from keyless.oidc.issuer import ReplayMode

_WORKFLOWS: Final = "/.github/workflows/"

# These events run with the base repository's identity on input that a stranger may have written (V15, T74).
GUARDED_EVENTS: Final = frozenset(
    {
        "pull_request",
        "pull_request_target",
        "pull_request_review",
        "pull_request_review_comment",
        "workflow_run",
        "issue_comment",
    }
)


@lru_cache(maxsize=1024)  # the jobs of one workflow file share it; the verification bounds its length
def _workflow_path(workflow_ref: str) -> tuple[str, str, str] | None:
    """Split `owner/repo/.github/workflows/file.yml@ref` into repository, file and ref, or return `None` (T70).

    The ref may itself hold `@` and even a workflow path, so the first `@` after the fixed part ends the file name.
    """
    repository, found, rest = workflow_ref.partition(_WORKFLOWS)
    file, at, ref = rest.partition("@")
    if not (found and at and file and ref) or "/" in file or repository.count("/") != 1:
        return None
    return repository, file, ref


def _own_file(workflow_ref: str, claims: Attributes) -> str | None:
    """Return the file's name when it is a workflow of the token's own repository at its own ref or commit (T70)."""
    if (path := _workflow_path(workflow_ref)) is None:
        return None
    repository, file, at = path
    own_refs = {claims.get("ref"), claims.get("sha"), claims.get("workflow_sha")} - {"", None}
    return file if at in own_refs and fold_ascii(repository) == fold_ascii(claims.get("repository", "")) else None


def _derive(claims: dict[str, str]) -> None:
    # `workflow` in the token is the free-text display name; a publisher means the file (T69).
    claims.pop("workflow", None)
    ref = claims.get("ref", "")
    for kind, prefix in (("branch", "refs/heads/"), ("tag", "refs/tags/")):
        if ref.startswith(prefix) and claims.get("ref_type", kind) == kind:
            claims[kind] = ref[len(prefix) :]
    if (file := _own_file(claims.get("workflow_ref", ""), claims)) is not None:
        claims["workflow"] = file
    if (called := _workflow_path(claims.get("job_workflow_ref", ""))) is not None:
        # The platform folds the case of the repository, but not of the file.
        claims["job_workflow"] = f"{fold_ascii(called[0])}{_WORKFLOWS}{called[1]}"


def _guards(attributes: Attributes) -> Sequence[Guard]:
    guards = []
    if (event := attributes.get("event_name", "")) in GUARDED_EVENTS:
        guards.append(Guard("event_name", f"the event {event!r} can run a stranger's input with this identity"))
    if (called := attributes.get("job_workflow_ref")) is not None:
        caller = attributes.get("workflow")
        if caller is None or _own_file(called, attributes) != caller:
            # M05, T71: only the caller pinned lets the called file change under us; only the called lets anyone call.
            # The same file of another branch is another file.
            because = "the job is defined in a reusable workflow, so both the caller and the called file must be named"
            guards += [Guard("workflow", because), Guard("job_workflow", because)]
    return guards


def _normalise(claim: str, value: str) -> str:
    if claim == "workflow":
        return value.removeprefix(".github/workflows/")
    if claim == "branch":
        return value.removeprefix("refs/heads/")
    if claim == "tag":
        return value.removeprefix("refs/tags/")
    if claim == "job_workflow":
        repository, found, file = value.partition(_WORKFLOWS)
        return f"{fold_ascii(repository)}{found}{file}"
    return value


GITHUB: Final = Profile(
    kind="github",
    default_url="https://token.actions.githubusercontent.com",
    url_templates=(
        "https://token.actions.githubusercontent.com/<enterprise>",
        "https://token.actions.<subdomain>.ghe.com",
        "https://token.actions.<subdomain>.ghe.com/<enterprise>",
        "https://<host>/_services/token",
    ),
    required_claims=("repository", "repository_id", "repository_owner_id", "workflow_ref", "event_name", "run_id"),
    optional_claims=(
        "repository_owner",
        "repository_visibility",
        "ref",
        "ref_type",
        "ref_protected",
        "environment",
        "environment_node_id",
        "job_workflow_ref",
        "job_workflow_sha",
        "workflow_sha",
        "sha",
        "runner_environment",
        "enterprise",
        "enterprise_id",
        "actor",
        "actor_id",
        "run_attempt",
        "run_number",
        "check_run_id",
    ),
    derived_claims=("branch", "tag", "workflow", "job_workflow"),
    hidden_claims=frozenset({"actor", "run_id", "run_number", "check_run_id", "workflow_ref", "job_workflow_ref"}),
    ignored_claims=("workflow (the display name)", "head_ref", "base_ref", "issuer_scope", "repo_property_*"),
    id_claims=("repository_id", "repository_owner_id"),
    glob_claims=frozenset({"branch", "tag", "ref"}),
    folded_claims=frozenset({"repository", "repository_owner", "environment"}),
    guarded={
        "event_name": "`pull_request*`, `workflow_run`, `issue_comment`",
        "workflow": "the job is defined in another file, or at another commit, than the workflow that was started",
        "job_workflow": "as `workflow`",
    },
    notes={
        "repository_id": "pinned with the owner's: a name can be given up and taken by somebody else",
        "workflow": "file name out of `workflow_ref`, of the token's own repository at its own ref or commit",
        "job_workflow": "`owner/name/.github/workflows/file` out of `job_workflow_ref`: where the job is defined",
        "branch": "out of `ref`",
        "tag": "out of `ref`",
        "environment": "absent unless the job names one",
        "ref_protected": "`true` or `false`",
    },
    derive=_derive,
    guards=_guards,
    normalise=_normalise,
    repository_claim="repository",
    subject_claims=(
        "repository",
        "repository_id",
        "repository_owner_id",
        "ref",
        "workflow_ref",
        "job_workflow_ref",
        "environment",
        "event_name",
        "sha",
        "run_id",
        "run_attempt",
        "actor",
        "runner_environment",
    ),
    max_lifetime_seconds=900,  # V12: seen 300 s; GitHub documents no more than 15 minutes
    max_age_seconds=900,
    replay=ReplayMode.ONCE,  # D8: a job can always mint again
)
