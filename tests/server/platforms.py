"""The platforms as a token service sees them: a job there, its issuer's kind, and the publisher that trusts the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from keyless.testing import FakeCI, FakeIssuer
from keyless.testing.buildkite import OPTIONAL

_RUNS: Final = count(100)
OTHER_UUID: Final = "00000000-0000-4000-8000-00000000beef"

Make = Callable[[FakeIssuer, Mapping[str, object] | None, str], Any]


@dataclass(frozen=True, kw_only=True)
class Platform:
    """Say what is special about one platform.

    Attributes:
        name: As `keyless providers` shows it.
        kind: Of its issuer's record.
        make: Makes the platform around one job, out of issuer, changed claims and audience.
        pins: What the profile demands of every publisher.
        claims: Further conditions; as little as the profile lets one name.
        stranger: The claims of the same job of somebody else on the same issuer.
        path: Of the issuer's URL.
        max_lifetime_seconds: Where its tokens live longer than the kind's preset.
    """

    name: str
    kind: str
    make: Make
    pins: Mapping[str, str]
    stranger: Mapping[str, object]
    claims: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    max_lifetime_seconds: int | None = None

    @property
    def resource(self) -> str:
        """Return the model that the good job may publish."""
        return f"acme/from-{self.name}"

    def publisher(self, issuer: FakeIssuer) -> dict[str, Any]:
        """Return the publisher's description, but for its resource."""
        claims = {name: [value] for name, value in self.claims.items()}
        return {"issuer_url": issuer.url, "claims": claims, "pins": dict(self.pins)}


def generic(name: str, subject: str, *, max_lifetime_seconds: int | None = None) -> Platform:
    """Return a platform of which the service knows nothing: its publisher pins the subject (M00b)."""
    return Platform(
        name=name,
        kind="generic",
        make=lambda issuer, claims, audience: FakeCI.variable(issuer, name, claims, audience=audience),
        pins={"sub": subject},
        stranger={"sub": subject.replace("acme", "evil")},
        max_lifetime_seconds=max_lifetime_seconds,
    )


_ORG: Final = "7d3f1c52-0b6e-4c0a-9a51-2f6f0c5d8e11"
_PROJECT: Final = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

TWELVE: Final = (
    Platform(
        name="github",
        kind="github",
        make=lambda issuer, claims, _: FakeCI.github(issuer, claims),
        pins={"repository_id": "456789", "repository_owner_id": "123456"},
        claims={"repository": "acme/widgets", "branch": "main", "workflow": "train.yml"},
        stranger={"repository_owner_id": "666"},
    ),
    Platform(
        name="gitlab",
        kind="gitlab",
        make=lambda issuer, claims, audience: FakeCI.gitlab(issuer, claims, audience=audience),
        pins={"project_id": "20", "namespace_id": "72"},
        claims={"project_path": "acme/widgets", "branch": "main"},
        stranger={"namespace_id": "666"},
    ),
    Platform(
        name="forgejo",
        kind="forgejo",
        # Without a `jti` two jobs of one second would get one token, but for the run's number.
        make=lambda issuer, claims, _: FakeCI.forgejo(issuer, {"run_id": str(next(_RUNS)), **(claims or {})}),
        pins={"repository_id": "456", "repository_owner_id": "12"},
        claims={"repository": "acme/widgets", "branch": "main", "workflow": "publish.yml"},
        stranger={"repository_owner_id": "666"},
        path="/api/actions",
    ),
    Platform(
        name="circleci",
        kind="circleci",
        make=lambda issuer, claims, _: FakeCI.circleci(issuer, claims),
        pins={"oidc.circleci.com/org-id": _ORG, "oidc.circleci.com/project-id": _PROJECT},
        claims={"oidc.circleci.com/vcs-origin": "github.com/acme/widgets", "branch": "main"},
        stranger={"oidc.circleci.com/org-id": OTHER_UUID},
    ),
    Platform(
        name="buildkite",
        kind="buildkite",
        make=lambda issuer, claims, _: FakeCI.buildkite(issuer, claims),
        pins={name: str(OPTIONAL[name]) for name in ("organization_id", "pipeline_id")},
        claims={"pipeline": "acme/widgets", "branch": "main"},
        stranger={"organization_slug": "evil"},
    ),
    Platform(
        name="azure-devops",
        kind="azure-devops",
        make=lambda issuer, claims, _: FakeCI.azure_devops(issuer, claims),
        pins={"org_id": _ORG, "prj_id": _PROJECT, "def_id": "17"},
        claims={"branch": "main"},
        stranger={"org_id": OTHER_UUID},
    ),
    Platform(
        name="bitbucket",
        kind="bitbucket",
        make=lambda issuer, claims, audience: FakeCI.bitbucket(issuer, claims, audiences=[audience]),
        pins={
            "workspaceUuid": "{6b1e4d2a-7a25-4f0a-8a0e-3c0d7f5b9e11}",
            "repositoryUuid": "{3f0c8a6d-1f8e-4a57-9a0f-7f3f3c9d2b10}",
        },
        claims={"branch": "main"},
        stranger={"workspaceUuid": f"{{{OTHER_UUID}}}"},
    ),
    Platform(
        name="jenkins",
        kind="generic",
        make=lambda issuer, claims, audience: FakeCI.jenkins(issuer, claims, audience=audience),
        pins={"sub": "https://jenkins.example.org/job/acme/job/widgets/"},
        stranger={"sub": "https://jenkins.example.org/job/evil/job/widgets/"},
        path="/oidc",
    ),
    Platform(
        name="google-cloud",
        kind="google",
        make=lambda issuer, claims, _: FakeCI.google_cloud(issuer, claims),
        pins={"sub": "112233445566778899001"},
        claims={"project_id": "acme-prod"},
        stranger={"sub": "999988887777666655554"},
    ),
    Platform(
        name="aws",
        kind="generic",
        make=lambda issuer, claims, _: FakeCI.aws(issuer, claims),
        pins={"sub": "arn:aws:iam::123456789012:role/builder"},
        stranger={"sub": "arn:aws:iam::666666666666:role/builder"},
    ),
    Platform(
        name="kubernetes",
        kind="kubernetes",
        make=lambda issuer, claims, audience: FakeCI.kubernetes(issuer, claims, audience=audience),
        pins={"service_account": "ci/builder", "service_account_uid": "b2f1a0c4-7d3e-4f5a-9b6c-8d7e6f5a4b3c"},
        stranger={
            "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "builder", "uid": OTHER_UUID}},
        },
    ),
    Platform(
        name="spiffe",
        kind="spiffe",
        make=lambda issuer, claims, _: FakeCI.spiffe(issuer, claims),
        pins={"sub": "spiffe://example.org/ns/ci/sa/builder"},
        stranger={"sub": "spiffe://example.org/ns/evil/sa/builder"},
    ),
)
FROM_VARIABLES: Final = (
    generic(
        "terraform-cloud",
        "organization:acme:project:default:workspace:widgets:run_phase:apply",
        max_lifetime_seconds=7200,
    ),
    generic("bitrise", "repo:acme/widgets"),
)
# The user cannot choose the audience there, and the service has one audience for all but Azure DevOps (D19).
FOREIGN_AUDIENCE: Final = ("semaphore", "spacelift", "vercel", "harness", "pulumi", "env0")
