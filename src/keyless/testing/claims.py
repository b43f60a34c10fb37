"""What the id tokens of real CI platforms say. Pure: values only.

Everything that belongs to one token (`iss`, `aud`, `iat`, `nbf`, `exp`, `jti`) is added when it is minted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keyless.jose.compact import parse_compact
from keyless.jose.json import parse_json_object


class _Drop:
    """Mark a claim that is to be left out."""

    def __repr__(self) -> str:
        return "DROP"


DROP: Final = _Drop()

_SHA: Final = "4f6c1e2d9b7a85033c1f0e8d7b6a594837261504"

# Names and values as in "OpenID Connect reference" of the GitHub Actions documentation, seen 2026-11: every value is
# a string, ids and run numbers included.
_GITHUB: Final[Mapping[str, object]] = {
    "ref": "refs/heads/main",
    "sha": _SHA,
    "repository": "acme/widgets",
    "repository_id": "456789",
    "repository_owner": "acme",
    "repository_owner_id": "123456",
    "repository_visibility": "public",
    "run_id": "16411234567",
    "run_number": "42",
    "run_attempt": "1",
    "check_run_id": "46339876543",
    "actor": "octocat",
    "actor_id": "583231",
    "workflow": "Train and publish",
    "workflow_ref": "acme/widgets/.github/workflows/train.yml@refs/heads/main",
    "workflow_sha": _SHA,
    "job_workflow_ref": "acme/widgets/.github/workflows/train.yml@refs/heads/main",
    "job_workflow_sha": _SHA,
    "head_ref": "",
    "base_ref": "",
    "event_name": "push",
    "ref_type": "branch",
    "ref_protected": "true",
    "runner_environment": "github-hosted",
}

# Names and values as in "OpenID Connect (OIDC) Authentication Using ID Tokens" of the GitLab documentation, seen
# 2026-11: ids are strings, booleans are strings, `runner_id` is a number.
_GITLAB: Final[Mapping[str, object]] = {
    "namespace_id": "72",
    "namespace_path": "acme",
    "project_id": "20",
    "project_path": "acme/widgets",
    "job_namespace_id": "72",
    "job_namespace_path": "acme",
    "job_project_id": "20",
    "job_project_path": "acme/widgets",
    "user_id": "1",
    "user_login": "sample-user",
    "user_email": "sample-user@example.com",
    "user_access_level": "developer",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "runner_id": 1,
    "runner_environment": "gitlab-hosted",
    "sha": _SHA,
    "project_visibility": "public",
    "ci_config_ref_uri": "gitlab.example.com/acme/widgets//.gitlab-ci.yml@refs/heads/main",
    "ci_config_sha": _SHA,
}


def _github_sub(claims: Mapping[str, object]) -> str:
    """Return the default subject: by environment, else pull request, else ref ("Example subject claims")."""
    repository = claims.get("repository")
    if isinstance(environment := claims.get("environment"), str):
        return f"repo:{repository}:environment:{environment.replace(':', '%3A')}"
    if str(claims.get("event_name")).startswith("pull_request"):
        return f"repo:{repository}:pull_request"
    return f"repo:{repository}:ref:{claims.get('ref')}"


def _gitlab_sub(claims: Mapping[str, object]) -> str:
    """Return the default subject of GitLab ("Token payload")."""
    return f"project_path:{claims.get('project_path')}:ref_type:{claims.get('ref_type')}:ref:{claims.get('ref')}"


def merge(base: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return `base` with `changes`; a claim whose new value is `DROP` is left out."""
    return {name: value for name, value in {**base, **changes}.items() if value is not DROP}


def unverified_claims(token: str) -> dict[str, object]:
    """Read the claims of a token without checking anything: for what a test asserts, never for a decision.

    Raises:
        MalformedTokenError: It is not a compact JWT.
    """
    return parse_json_object(parse_compact(token).unverified_payload)


def github_claims(**overrides: object) -> dict[str, object]:
    """Return the claims of a push to `main` of `acme/widgets` on GitHub Actions.

    What follows from an override follows: another `repository` changes its owner and the workflow's path, another `ref`
    changes `ref_type` and both workflow refs, and `sub` is built from the result. An override is never rewritten.

    Args:
        overrides: Claims to set; `DROP` leaves one out.
    """
    claims = {**_GITHUB, **overrides}
    repository, ref = claims["repository"], claims["ref"]
    derived: dict[str, object] = {}
    if isinstance(repository, str) and isinstance(ref, str):
        workflow = overrides.get("workflow_ref", f"{repository}/.github/workflows/train.yml@{ref}")
        derived = {
            "repository_owner": repository.partition("/")[0],
            "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
            "workflow_ref": workflow,
            "job_workflow_ref": workflow,
        }
    claims = {**claims, **derived, **overrides}
    return merge({"sub": _github_sub(claims), **claims}, {})


def gitlab_claims(**overrides: object) -> dict[str, object]:
    """Return the claims of a push pipeline on `main` of `acme/widgets` on GitLab.

    Args:
        overrides: Claims to set; `DROP` leaves one out. `sub` follows `project_path`, `ref_type` and `ref`.
    """
    claims = {**_GITLAB, **overrides}
    return merge({"sub": _gitlab_sub(claims), **claims}, {})
