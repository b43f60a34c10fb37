"""What the id token says about the job, as trusted publishers look at it, and what they refuse by default. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from keyless.client.diagnosis import ci_file
from keyless.client.diagnosis.check import Check, ok, warning
from keyless.http.redact import quote_text

CLAIMS: Final = "claims"
MAX_CLAIM_CHARS: Final = 200

# What the service refuses unless a publisher names it: these run with the repository's identity on a stranger's input.
# The lists are the service's (`keyless.issuers`), which a job's installation need not have; a test compares them.
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
GUARDED_SOURCES: Final = frozenset({"merge_request_event", "external_pull_request_event"})
GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"
GITLAB_ISSUER: Final = "https://gitlab.com"
_WORKFLOWS: Final = "/workflows/"  # below .github, .forgejo or .gitea
# What identifies a job on the other platforms, where `sub` says it less well.
_OTHER_CLAIMS: Final = (
    "organization_id",
    "pipeline_id",
    "build_branch",
    "build_tag",
    "oidc.circleci.com/org-id",
    "oidc.circleci.com/project-id",
    "oidc.circleci.com/vcs-ref",
    "workspaceUuid",
    "repositoryUuid",
    "branchName",
    "org_id",
    "prj_id",
    "def_id",
    "rpo_ref",
)


def check_claims(claims: Mapping[str, object]) -> Check:
    """Say who the job is to a trusted publisher."""
    texts = as_texts(claims)
    if "project_path" in texts or "project_id" in texts:
        return _gitlab(texts)
    if "repository" in texts or "repository_id" in texts:
        return _github(texts)
    subject = texts.get("sub")
    if subject is None:
        return warning(
            CLAIMS,
            "no `sub` and no claim about a repository",
            "nothing in this token tells one job from another",
            "Hand over the id token of a CI job, not one of a machine or a person.",
        )
    more = [f", {name} {texts[name]}" for name in _OTHER_CLAIMS if name in texts]
    return ok(CLAIMS, f"sub {subject}{''.join(more)}")


def as_texts(claims: Mapping[str, object]) -> dict[str, str]:
    """Return the claims that are texts, numbers or booleans, each fit to be shown."""
    texts = {}
    for name, value in claims.items():
        text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
        if text:
            texts[name] = quote_text(text, max_chars=MAX_CLAIM_CHARS)
    return texts


def _ids(*pairs: tuple[str, str | None]) -> str:
    return ", ".join(f"{name} {value or '(none)'}" for name, value in pairs)


# --- GitHub, and what speaks like it ---------------------------------------------------------------------------------


def workflow_file(reference: str) -> str:
    """Return the file's name out of `owner/repo/.github/workflows/file.yml@ref`; or the whole for another form."""
    _, found, rest = reference.partition(_WORKFLOWS)
    return rest.partition("@")[0] if found else reference


def github_place(texts: Mapping[str, str]) -> tuple[str, str]:
    """Return `branch` or `tag` and its name; `ref` for anything else."""
    ref = texts.get("ref", "")
    for kind, prefix in (("branch", "refs/heads/"), ("tag", "refs/tags/")):
        if ref.startswith(prefix):
            return kind, ref[len(prefix) :]
    return "ref", ref or "(none)"


def _github(texts: Mapping[str, str]) -> Check:
    kind, name = github_place(texts)
    own = texts.get("workflow_ref", "")
    called = texts.get("job_workflow_ref", "")
    reusable = bool(called and own and called != own)
    event = texts.get("event_name", "")
    ids = _ids(("repository_id", texts.get("repository_id")), ("repository_owner_id", texts.get("repository_owner_id")))
    seen = (
        f"repository {texts.get('repository', '(none)')} ({ids}), {kind} {name}, "
        f"workflow {workflow_file(own) or '(none)'}"
        + (f", defined in {called}" if reusable else "")
        + f", environment {texts.get('environment', '(none)')}, event {event or '(none)'}"
    )
    problems: list[str] = []
    fixes: list[str] = []
    if event in GUARDED_EVENTS:
        problems.append(f"the event {event} can run a stranger's input, and is refused unless a publisher names it")
        fixes.append(ci_file.change_events())
    if reusable:
        problems.append("the job is defined in a reusable workflow, so the publisher must name both files")
        called_file = called.partition("@")[0]
        fixes.append(
            "The owner of the resource names both:\n"
            f"    keyless trust add … --workflow {shlex.quote(workflow_file(own))} \\\n"
            f"      --claim {shlex.quote(f'job_workflow={called_file}')}"
        )
    if "repository_id" not in texts or "repository_owner_id" not in texts:
        problems.append("the ids that publishers pin are not among the claims")
        fixes.append("Publish from a platform whose tokens carry repository_id and repository_owner_id.")
    return _result(seen, problems, fixes)


# --- GitLab ----------------------------------------------------------------------------------------------------------


def _gitlab(texts: Mapping[str, str]) -> Check:
    source = texts.get("pipeline_source", "")
    protected = " (protected)" if texts.get("ref_protected", "").lower() == "true" else ""
    ids = _ids(("project_id", texts.get("project_id")), ("namespace_id", texts.get("namespace_id")))
    seen = (
        f"project {texts.get('project_path', '(none)')} ({ids}), "
        f"{texts.get('ref_type', 'ref')} {texts.get('ref', '(none)')}{protected}, "
        f"file {gitlab_file(texts) or '(none)'}, environment {texts.get('environment', '(none)')}, "
        f"source {source or '(none)'}"
    )
    problems: list[str] = []
    fixes: list[str] = []
    if source in GUARDED_SOURCES:
        problems.append(f"a {source} pipeline can run a stranger's code, and is refused unless a publisher names it")
        fixes.append(
            "Let the job run for pushes to its branch only, in .gitlab-ci.yml:\n"
            '    rules:\n      - if: $CI_PIPELINE_SOURCE == "push" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH'
        )
    runs_in = texts.get("job_project_id")
    if runs_in is not None and runs_in != texts.get("project_id"):
        problems.append(f"the job runs in project {runs_in}, and its code comes from another: a fork's merge request")
        fixes.append(
            "Run it in the project itself, in .gitlab-ci.yml:\n"
            '    rules:\n      - if: $CI_MERGE_REQUEST_SOURCE_PROJECT_ID == null && $CI_PIPELINE_SOURCE == "push"'
        )
    return _result(seen, problems, fixes)


def gitlab_file(texts: Mapping[str, str]) -> str:
    """Return the pipeline's file out of `host/group/project//path/file.yml@ref`, or the empty string."""
    return texts.get("ci_config_ref_uri", "").partition("//")[2].partition("@")[0]


def _result(seen: str, problems: list[str], fixes: list[str]) -> Check:
    return warning(CLAIMS, seen, "; ".join(problems), "\n".join(fixes)) if problems else ok(CLAIMS, seen)


# --- what would accept this job --------------------------------------------------------------------------------------


def publisher_command(claims: Mapping[str, object], resource: str) -> str | None:
    """Return the command with which the owner of a resource would trust exactly this job, or `None`.

    The values are the job's own; each is quoted for a shell, since a branch may have any name. None for a run that may
    be a stranger's: nobody should be led to trust that.
    """
    texts = as_texts(claims)
    issuer = texts.get("iss", "")
    if texts.get("event_name") in GUARDED_EVENTS or texts.get("pipeline_source") in GUARDED_SOURCES:
        return None
    if "repository_id" in texts:
        kind, name = github_place(texts)
        provider, default = "github", GITHUB_ISSUER
        called = texts.get("job_workflow_ref", texts.get("workflow_ref", ""))
        options = [
            ("repository", texts.get("repository")),
            ("claim", f"ref={name}") if kind == "ref" else (kind, name),
            ("workflow", workflow_file(texts.get("workflow_ref", ""))),
            ("claim", f"job_workflow={called.partition('@')[0]}" if called != texts.get("workflow_ref") else None),
            ("environment", texts.get("environment")),
            ("repository-id", texts.get("repository_id")),
            ("repository-owner-id", texts.get("repository_owner_id")),
        ]
    elif "project_id" in texts:
        provider, default = "gitlab", GITLAB_ISSUER
        kind = texts.get("ref_type", "")
        options = [
            ("repository", texts.get("project_path")),
            (kind if kind in {"branch", "tag"} else "branch", texts.get("ref")),
            ("environment", texts.get("environment")),
            ("project-id", texts.get("project_id")),
            ("namespace-id", texts.get("namespace_id")),
        ]
    else:
        return None
    who = f"--provider {provider}" if issuer == default else f"--issuer {shlex.quote(issuer)}"
    words = [f"--{name} {shlex.quote(value)}" for name, value in options if value]
    lines = [f"keyless trust add {shlex.quote(resource)} {who}", *words]
    return " \\\n".join(f"    {line}" if number == 0 else f"      {line}" for number, line in enumerate(lines))
