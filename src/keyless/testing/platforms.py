"""What the id tokens of the other platforms say: names and types as their documentation has them, seen 2026-11.

Pure: values only. What belongs to one token (`iss`, `aud`, times, `jti`) is added when it is minted. Invented values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keyless.testing.claims import merge

_SHA: Final = "4f6c1e2d9b7a85033c1f0e8d7b6a594837261504"
_ORG: Final = "7d3f1c52-0b6e-4c0a-9a51-2f6f0c5d8e11"
_PROJECT: Final = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

_CLAIMS: Final[Mapping[str, Mapping[str, object]]] = {
    # "Forgejo Actions | Security OpenID Connect": no jti, no environment; `workflow` is the file's name.
    "forgejo": {
        "sub": "repo:acme/widgets:ref:refs/heads/main",
        "actor": "ada",
        "actor_id": "7",
        "base_ref": "",
        "head_ref": "",
        "event_name": "push",
        "ref": "refs/heads/main",
        "ref_protected": "true",
        "ref_type": "branch",
        "repository": "acme/widgets",
        "repository_id": "456",
        "repository_owner": "acme",
        "repository_owner_id": "12",
        "run_attempt": "1",
        "run_id": "99",
        "run_number": "42",
        "sha": _SHA,
        "workflow": "publish.yml",
        "workflow_ref": "acme/widgets/.forgejo/workflows/publish.yml@refs/heads/main",
    },
    # "OpenID Connect tokens": names with a slash and dots.
    "circleci": {
        "sub": f"org/{_ORG}/project/{_PROJECT}/user/0e6f2a6c-3d25-4a3e-8f8a-0a7c3cf1f0a1/"
        "vcs-origin/github.com/acme/widgets/vcs-ref/refs/heads/main",
        "oidc.circleci.com/org-id": _ORG,
        "oidc.circleci.com/project-id": _PROJECT,
        "oidc.circleci.com/pipeline-definition-id": "5a2f9d0e-8f38-4a11-8d53-0d4a0d5a8f77",
        "oidc.circleci.com/context-ids": ["c0ffee00-0000-4000-8000-000000000001"],
        "oidc.circleci.com/vcs-origin": "github.com/acme/widgets",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
        "oidc.circleci.com/ssh-rerun": False,
        "oidc.circleci.com/pipeline-id": "f2a5b3cc-8a2f-4b6a-9f0d-3d5c1f2b7a90",
        "oidc.circleci.com/workflow-id": "0c4d7f19-1b6a-47f1-9a55-6a0b2d1c3e4f",
        "oidc.circleci.com/job-id": "9f8e7d6c-5b4a-4f3e-8d2c-1b0a9f8e7d6c",
    },
    # "OIDC in Buildkite Pipelines": the ids are there only for who asks.
    "buildkite": {
        "sub": f"organization:acme:pipeline:widgets:ref:refs/heads/main:commit:{_SHA}:step:publish",
        "organization_slug": "acme",
        "pipeline_slug": "widgets",
        "build_number": 42,
        "build_branch": "main",
        "build_tag": None,
        "build_commit": _SHA,
        "build_source": "webhook",
        "step_key": "publish",
        "job_id": "0190f5a0-2b6a-4c0d-9a3e-7d5b6c8f1e22",
        "agent_id": "0190f5a0-0000-4000-8000-7d5b6c8f1e22",
        "runner_environment": "self-hosted",
    },
    "azure-devops": {
        "sub": "p://acme/widgets/publish",
        "org_id": _ORG,
        "prj_id": _PROJECT,
        "def_id": "17",
        "rpo_id": "2c1f7a5e-6f3b-4d7a-8a0e-0b7c9d1e2f3a",
        "rpo_uri": "https://dev.azure.com/acme/widgets/_git/widgets",
        "rpo_ver": _SHA,
        "rpo_ref": "refs/heads/main",
        "run_id": "314",
    },
    # "Integrate Pipelines with resource servers using OIDC": UUIDs in braces, no jti, no names.
    "bitbucket": {
        "sub": "{3f0c8a6d-1f8e-4a57-9a0f-7f3f3c9d2b10}:{9a4c2f10-0b0d-4b6c-a3a3-5c8e7f6d1a22}",
        "workspaceUuid": "{6b1e4d2a-7a25-4f0a-8a0e-3c0d7f5b9e11}",
        "repositoryUuid": "{3f0c8a6d-1f8e-4a57-9a0f-7f3f3c9d2b10}",
        "pipelineUuid": "{0d9c8b7a-6f5e-4d3c-8b2a-190f8e7d6c5b}",
        "stepUuid": "{9a4c2f10-0b0d-4b6c-a3a3-5c8e7f6d1a22}",
        "branchName": "main",
    },
    "google-cloud": {
        "sub": "112233445566778899001",
        "azp": "112233445566778899001",
        "email": "builder@acme-prod.iam.gserviceaccount.com",
        "email_verified": True,
        "google": {
            "compute_engine": {
                "project_id": "acme-prod",
                "project_number": 123456789012,
                "zone": "europe-west1-b",
                "instance_id": "5551234567890123456",
                "instance_name": "builder-1",
                "instance_creation_timestamp": 1_795_000_000,
            }
        },
    },
    "aws": {
        "sub": "arn:aws:iam::123456789012:role/builder",
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012",
            "source_region": "eu-west-1",
            "org_id": "o-exampleorg1",
            "principal_tags": {"team": "payments"},
        },
    },
    "kubernetes": {
        "sub": "system:serviceaccount:ci:builder",
        "kubernetes.io": {
            "namespace": "ci",
            "serviceaccount": {"name": "builder", "uid": "b2f1a0c4-7d3e-4f5a-9b6c-8d7e6f5a4b3c"},
            "pod": {"name": "builder-1", "uid": "e4d3c2b1-a0f9-4e8d-8c7b-6a5f4e3d2c1b"},
        },
    },
    "spiffe": {"sub": "spiffe://example.org/ns/ci/sa/builder"},
    "jenkins": {"sub": "https://jenkins.example.org/job/acme/job/widgets/", "build_number": 42},
    "semaphore": {
        "sub": f"org:acme:project:{_PROJECT}:repo:widgets:ref_type:branch:ref:refs/heads/main",
        "org": "acme",
        "org_id": _ORG,
        "prj": "widgets",
        "prj_id": _PROJECT,
        "repo": "widgets",
        "repo_slug": "acme/widgets",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "branch": "main",
        "job_type": "pipeline_job",
    },
    "spacelift": {
        "sub": "space:root:stack:widgets:run_type:TRACKED:scope:write",
        "spaceId": "root",
        "callerType": "stack",
        "callerId": "widgets",
        "runType": "TRACKED",
        "runId": "01HZX0",
        "scope": "write",
    },
    "terraform-cloud": {
        "sub": "organization:acme:project:default:workspace:widgets:run_phase:apply",
        "terraform_organization_id": "org-abc",
        "terraform_organization_name": "acme",
        "terraform_project_id": "prj-abc",
        "terraform_workspace_id": "ws-abc",
        "terraform_workspace_name": "widgets",
        "terraform_run_id": "run-abc",
        "terraform_run_phase": "apply",
    },
    "vercel": {
        "sub": "owner:acme:project:widgets:environment:production",
        "owner_id": "team_abc",
        "project_id": "prj_abc",
        "environment": "production",
    },
    "harness": {"sub": "account/abc:org/acme:project/widgets", "account_id": "abc"},
    "bitrise": {"sub": "repo:acme/widgets", "app_slug": "abc", "build_number": "42"},
    "pulumi": {
        "sub": "pulumi:deploy:org:acme:project:widgets:stack:prod:operation:update:scope:write",
        "org": "acme",
        "project": "widgets",
        "stack": "prod",
        "operation": "update",
        "scope": "write",
    },
    "env0": {"sub": "auth0|env0", "env0_organization": "acme"},
}
PLATFORMS: Final = tuple(_CLAIMS)


def platform_claims(platform: str, **overrides: object) -> dict[str, object]:
    """Return the claims of a push to `main` on a platform.

    Args:
        platform: Its name, as `keyless providers` shows it; see `PLATFORMS`.
        overrides: Claims to set; `DROP` leaves one out.

    Raises:
        KeyError: No such platform here; `github_claims` and `gitlab_claims` are functions of their own.
    """
    return merge(_CLAIMS[platform], overrides)
