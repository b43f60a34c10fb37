"""What the owner of a resource enters once, so that a job may publish: the trusted publisher, platform by platform.

A command for our service, and the fields of the form for the Hub. Values that nobody gave are written as CAPITALS, with
the place where they are found. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keyless.ci_files.job import Job
from keyless.resource import Resource

ON_THE_HUB: Final[Mapping[str, str]] = {"github": "GitHub", "gitlab": "GitLab"}
"""The platforms whose publishers the Hub's form knows by name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Say what is known of the job's place.

    Args:
        repository: `owner/name`, the project's path, or what the platform has instead; `None` when not known.
        issuer: URL of the issuer, where it is not the one that everybody on the platform shares.
        pins: Immutable ids that are known, by claim.
    """

    repository: str | None = None
    issuer: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pin:
    """Name an immutable id that a publisher demands, and where its value is found."""

    claim: str
    placeholder: str
    found: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Say what a publisher of one platform is made of.

    Args:
        shared: There is one issuer for everybody, and this is its name for `--provider`.
        issuer: How an issuer of one's own is written, where there is none for everybody.
        pins: Ids to give.
        repository: The repository is a condition too, and what it looks like.
        first_use: The ids may be taken from the first job instead.
        options: Which of branch, workflow and environment the platform's tokens tell.
    """

    shared: str | None = None
    issuer: str = ""
    pins: tuple[Pin, ...] = ()
    repository: str | None = None
    first_use: bool = False
    options: tuple[str, ...] = ("branch",)


_ORG: Final = "oidc.circleci.com/org-id"
_PROJECT: Final = "oidc.circleci.com/project-id"
_SUBJECT: Final = Pin("sub", "SUBJECT", "keyless doctor, run in the job, shows it")

NEEDS: Final[Mapping[str, Needs]] = {
    "github": Needs(
        shared="github",
        pins=(
            Pin("repository_id", "REPOSITORY_ID", "gh api repos/OWNER/NAME --jq .id"),
            Pin("repository_owner_id", "OWNER_ID", "gh api repos/OWNER/NAME --jq .owner.id"),
        ),
        repository="OWNER/NAME",
        first_use=True,
        options=("branch", "workflow", "environment"),
    ),
    "gitlab": Needs(
        shared="gitlab",
        pins=(
            Pin("project_id", "PROJECT_ID", "the project's page, behind the three dots"),
            Pin("namespace_id", "NAMESPACE_ID", "the group's page, behind the three dots"),
        ),
        repository="GROUP/NAME",
        first_use=True,
        options=("branch", "environment"),
    ),
    "forgejo": Needs(
        issuer="https://FORGEJO_HOST/api/actions",
        pins=(
            Pin("repository_id", "REPOSITORY_ID", "GET /api/v1/repos/OWNER/NAME on the instance, id"),
            Pin("repository_owner_id", "OWNER_ID", "the same answer, owner.id"),
        ),
        repository="OWNER/NAME",
        first_use=True,
        options=("branch", "workflow"),
    ),
    "circleci": Needs(
        shared="circleci",
        pins=(
            Pin(_ORG, "ORGANIZATION_UUID", "Organization Settings > Overview"),
            Pin(_PROJECT, "PROJECT_UUID", "Project Settings > Overview"),
        ),
        repository="github.com/OWNER/NAME",
    ),
    "bitbucket": Needs(
        issuer="https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc",
        pins=(
            Pin("workspaceUuid", "WORKSPACE_UUID", "Repository settings > OpenID Connect, with its braces"),
            Pin("repositoryUuid", "REPOSITORY_UUID", "Repository settings > OpenID Connect, with its braces"),
        ),
    ),
    "buildkite": Needs(
        shared="buildkite",
        pins=(
            Pin("organization_id", "ORGANIZATION_UUID", "Organization Settings, or the API's organization.id"),
            Pin("pipeline_id", "PIPELINE_UUID", "the pipeline's settings, or the API's pipeline.id"),
        ),
        repository="ORGANIZATION/PIPELINE",
    ),
    "azure-devops": Needs(
        issuer="https://vstoken.dev.azure.com/ORGANIZATION_GUID",
        pins=(
            Pin("org_id", "ORGANIZATION_GUID", "https://dev.azure.com/ORG/_apis/connectionData, instanceId"),
            Pin("prj_id", "PROJECT_GUID", "https://dev.azure.com/ORG/_apis/projects/NAME, id"),
            Pin("def_id", "DEFINITION_ID", "definitionId in the pipeline's address"),
        ),
    ),
    "jenkins": Needs(
        issuer="https://JENKINS_HOST/oidc",
        pins=(Pin("sub", "JOB_URL", "the job's address, with its last slash"),),
        options=(),
    ),
    "google-cloud": Needs(
        shared="google",
        pins=(
            Pin("sub", "SERVICE_ACCOUNT_ID", "gcloud iam service-accounts describe EMAIL --format 'value(uniqueId)'"),
        ),
        options=(),
    ),
    "aws": Needs(
        issuer="https://UUID.tokens.sts.global.api.aws",
        pins=(Pin("sub", "ROLE_ARN", "the role of the build project"),),
        options=(),
    ),
    "kubernetes": Needs(
        issuer="https://ISSUER_OF_THE_CLUSTER",
        pins=(
            Pin("service_account", "NAMESPACE/NAME", "here ci/publisher"),
            Pin(
                "service_account_uid", "UID", "kubectl get serviceaccount NAME -n NAMESPACE -o jsonpath={.metadata.uid}"
            ),
        ),
        options=(),
    ),
    "spiffe": Needs(
        issuer="https://DISCOVERY_PROVIDER_OF_THE_TRUST_DOMAIN",
        pins=(Pin("sub", "SPIFFE_ID", "spiffe://…, as registered"),),
        options=(),
    ),
    "other": Needs(issuer="https://ISSUER", pins=(_SUBJECT,), options=()),
}
ISSUER_KINDS: Final[Mapping[str, str]] = {
    "google-cloud": "google",
    "jenkins": "generic",
    "aws": "generic",
    "other": "generic",
}
"""The kind of a platform's issuer where it is not the platform's own name."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Hold what to do at the service.

    Args:
        commands: To run, in order.
        missing: The placeholders in them: each with the place where its value is found.
    """

    commands: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]


def on_our_service(platform: str, job: Job, identity: Identity) -> Steps:
    """Return the commands that make the publishers of a job's resources."""
    needs = NEEDS[platform]
    missing: dict[str, str] = {}
    commands = []
    if needs.shared is not None and identity.issuer is None:
        who = ["--provider", needs.shared]
    else:
        issuer = identity.issuer or needs.issuer
        if identity.issuer is None:
            missing[issuer] = "the `iss` of the platform's tokens"
        kind = ISSUER_KINDS.get(platform, platform)
        commands.append(f"keyless trust issuer add {shlex.quote(issuer)} --kind {kind}")
        who = ["--issuer", issuer]
    words = [*who, *_conditions(platform, job, identity, missing), *_pins(needs, identity, missing)]
    commands += [shlex.join(["keyless", "trust", "add", resource.short, *words]) for resource in job.resources]
    return Steps(tuple(commands), tuple(missing.items()))


def on_the_hub(platform: str, job: Job, identity: Identity) -> list[tuple[str, str]]:
    """Return the fields of the Hub's form, which is in the settings of each repository.

    Empty for a platform that the form does not know.
    """
    if platform not in ON_THE_HUB:
        return []
    needs = NEEDS[platform]
    fields = [
        ("Provider", ON_THE_HUB[platform]),
        ("Repository" if platform == "github" else "Project path", identity.repository or needs.repository or ""),
        ("Branch", job.branch),
    ]
    if "workflow" in needs.options:
        fields.append(("Workflow", job.file_name))
    if job.environment:
        fields.append(("Environment", job.environment))
    return fields


def settings_page(resource: Resource, endpoint: str) -> str:
    """Return where a repository's trusted publishers are entered on the Hub."""
    place = resource.short
    return f"{endpoint}/{place}/settings" if resource.name else f"{endpoint}/settings"


def _conditions(platform: str, job: Job, identity: Identity, missing: dict[str, str]) -> list[str]:
    needs = NEEDS[platform]
    words: list[str] = []
    if needs.repository is not None:
        if identity.repository is None:
            missing[needs.repository] = "the repository that the job runs in"
        words += ["--repository", identity.repository or needs.repository]
    if "branch" in needs.options:
        words += ["--branch", job.branch]
    if "workflow" in needs.options:
        words += ["--workflow", job.file_name]
    if "environment" in needs.options and job.environment:
        words += ["--environment", job.environment]
    return words


def _pins(needs: Needs, identity: Identity, missing: dict[str, str]) -> list[str]:
    lacking = [pin for pin in needs.pins if pin.claim not in identity.pins]
    given = [
        word
        for pin in needs.pins
        if pin not in lacking
        for word in ("--pin", f"{pin.claim}={identity.pins[pin.claim]}")
    ]
    if lacking and needs.first_use:
        return [*given, "--pin-first-use"]
    for pin in lacking:
        missing[pin.placeholder] = pin.found
    return [*given, *(word for pin in lacking for word in ("--pin", f"{pin.claim}={pin.placeholder}"))]
