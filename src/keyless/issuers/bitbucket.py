"""Bitbucket Pipelines: one issuer per workspace.

Source: Atlassian Support, "Integrate Pipelines with resource servers using OIDC". UUIDs come in braces; names never
come at all. The workspace's name is part of the issuer and can be changed, so its UUID is pinned besides. `sub` holds
the UUID of the step's run and is never twice the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keyless.errors import InvalidClaimError
from keyless.issuers.profile import UUID_IN_BRACES, Profile, bare_ref
from keyless.oidc.issuer import ReplayMode

DEFAULT_AUDIENCE_PREFIX: Final = "ari:cloud:bitbucket::workspace/"


def _reject(claims: Mapping[str, object]) -> None:
    # T42: a list keeps the workspace's default audience, which nobody checks for. Ours is in it (V13), so any third one
    # is somebody else's, who could hand the token on to us.
    audience = claims.get("aud")
    if isinstance(audience, list):
        chosen = [item for item in audience if not str(item).startswith(DEFAULT_AUDIENCE_PREFIX)]
        if len(chosen) > 1:
            raise InvalidClaimError("the token is also for somebody else: give the step one audience", claim="aud")


def _derive(claims: dict[str, str]) -> None:
    for name, source in (("branch", "branchName"), ("environment", "deploymentEnvironmentUuid")):
        if source in claims:
            claims[name] = claims[source]


def _normalise(claim: str, value: str) -> str:
    if claim in {"workspaceUuid", "repositoryUuid", "environment"}:
        return f"{{{value.strip('{}').lower()}}}"
    return bare_ref(claim, value)


BITBUCKET: Final = Profile(
    kind="bitbucket",
    url_templates=("https://api.bitbucket.org/2.0/workspaces/<workspace>/pipelines-config/identity/oidc",),
    required_claims=("workspaceUuid", "repositoryUuid", "stepUuid"),
    optional_claims=("branchName", "deploymentEnvironmentUuid", "pipelineUuid", "pipelineRunUuid"),
    derived_claims=("branch", "environment"),
    hidden_claims=frozenset(
        {"branchName", "deploymentEnvironmentUuid", "stepUuid", "pipelineUuid", "pipelineRunUuid"},
    ),
    pin_claims={"workspaceUuid": UUID_IN_BRACES, "repositoryUuid": UUID_IN_BRACES},
    glob_claims=frozenset({"branch"}),
    denied={"aud": "a list with another audience than ours and the workspace's own"},
    notes={
        "workspaceUuid": "Repository settings > OpenID Connect shows both",
        "branch": "`branchName`; what it says for a tag or a pull request is not documented",
        "environment": "`deploymentEnvironmentUuid`: a UUID in braces, present in deployment steps only",
    },
    reject=_reject,
    derive=_derive,
    normalise=_normalise,
    repository_claim="repositoryUuid",
    subject_claims=(
        "workspaceUuid",
        "repositoryUuid",
        "branchName",
        "deploymentEnvironmentUuid",
        "pipelineUuid",
        "pipelineRunUuid",
        "stepUuid",
    ),
    allow_multiple_audiences=True,  # a token with an audience of our own always has the default one too
    replay=ReplayMode.COUNTED,  # D8: the step gets its token once, and it has no `jti`
)
