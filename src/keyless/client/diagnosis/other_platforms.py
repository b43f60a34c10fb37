"""CI platforms that keyless recognises but does not mint on by itself, and how a job there hands its id token over.

A table. The vendors' documentation has the commands under "OpenID Connect" (Forgejo Actions), "Using OpenID Connect
tokens in jobs" (CircleCI), "buildkite-agent oidc" (Buildkite), "Integrate Pipelines with resource servers using OIDC"
(Bitbucket) and "OpenID Connect Provider" (the Jenkins plugin); seen 2026-11. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class OtherPlatform:
    """Name a platform, its marker, and what to write, with `AUDIENCE` and `QUOTED` in place of the endpoint."""

    marker: str
    title: str
    fix: str


_FORGEJO: Final = """\
Allow it with `enable-openid-connect: true` at the job, and hand the token over:
    export HF_OIDC_ID_TOKEN=$(curl -sSf \\
      -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \\
      "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=QUOTED" |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["value"])')"""
_GITEA: Final = """\
Gitea gives jobs no id tokens; hand one over that comes from elsewhere:
    export HF_OIDC_ID_TOKEN=…"""
_CIRCLECI: Final = """\
Hand a token over:
    export HF_OIDC_ID_TOKEN=$(circleci run oidc get --claims '{"aud": "AUDIENCE"}')"""
_BUILDKITE: Final = """\
Hand a token over:
    export HF_OIDC_ID_TOKEN=$(buildkite-agent oidc request-token \\
      --audience AUDIENCE --claim organization_id,pipeline_id)"""
_BITBUCKET: Final = """\
Give the step a token in bitbucket-pipelines.yml, and hand it over in its script:
    oidc:
      audiences: [AUDIENCE]
    script:
      - export HF_OIDC_ID_TOKEN=$BITBUCKET_STEP_OIDC_TOKEN"""
_AZURE: Final = """\
Its tokens have the fixed audience api://AzureADTokenExchange, which is not this service's; hand over another's:
    export HF_OIDC_ID_TOKEN=…"""
_JENKINS: Final = """\
Make an OpenID Connect id token credential with the audience AUDIENCE, and bind it:
    withCredentials([string(credentialsId: 'ID', variable: 'HF_OIDC_ID_TOKEN')]) {
      …
    }"""

OTHER_PLATFORMS: Final = (
    OtherPlatform("FORGEJO_ACTIONS", "Forgejo Actions", _FORGEJO),  # sets GITEA_ACTIONS as well
    OtherPlatform("GITEA_ACTIONS", "Gitea Actions", _GITEA),
    OtherPlatform("CIRCLECI", "CircleCI", _CIRCLECI),
    OtherPlatform("BUILDKITE", "Buildkite", _BUILDKITE),
    OtherPlatform("BITBUCKET_BUILD_NUMBER", "Bitbucket Pipelines", _BITBUCKET),
    OtherPlatform("TF_BUILD", "Azure Pipelines", _AZURE),
    OtherPlatform("JENKINS_URL", "Jenkins", _JENKINS),
)


def find_other(environ: Mapping[str, str]) -> OtherPlatform | None:
    """Return the platform whose marker is set, or `None`."""
    return next((platform for platform in OTHER_PLATFORMS if environ.get(platform.marker)), None)


def fill(fix: str, audience: str) -> str:
    """Return a fix with the endpoint in it."""
    return fix.replace("AUDIENCE", audience).replace("QUOTED", quote(audience, safe=""))
