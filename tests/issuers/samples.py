"""One ordinary token of each kind of issuer, and the publishers that trust it: with as little as is allowed, and fully.

Names and shapes are those of the platforms' documentation, seen 2026-11; the values are invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from keyless.errors import ClaimError
from keyless.issuers import Profile, profile_for
from keyless.oidc.id_token import VerifiedIdToken, read_unverified, verify_id_token
from keyless.oidc.issuer import Issuer
from keyless.resource import parse_resource
from keyless.testing.claims import github_claims, gitlab_claims, merge
from keyless.testing.clock import NOON
from keyless.trust.match import judge
from keyless.trust.publisher import Condition, Operation, Operator, Pin, Publisher
from tests.jose.keys import signing_key

NOW: Final = int(NOON)
AUDIENCE: Final = "https://hub.example.com"
SHA: Final = "4f6c1e2d9b7a85033c1f0e8d7b6a594837261504"


def uuid(number: int) -> str:
    """Return a UUID that is easily told from another."""
    return f"{number:08x}-0000-4000-8000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Hold an issuer's URL, the claims of a token, and what the narrowest and the fullest publisher say of it."""

    kind: str
    url: str
    claims: Mapping[str, object]
    pins: Mapping[str, str]
    needed: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def profile(self) -> Profile:
        """Return the claim profile."""
        return profile_for(self.kind)

    @property
    def issuer(self) -> Issuer:
        """Return a record with the profile's presets, but for the algorithm of our test key."""
        profile = self.profile
        return Issuer(
            id=1,
            url=self.url,
            kind=self.kind,
            algorithms=("ES256",),
            max_lifetime_seconds=profile.max_lifetime_seconds,
            max_age_seconds=profile.max_age_seconds,
            replay=profile.replay,
            allow_multiple_audiences=profile.allow_multiple_audiences,
        )

    def at(self, url: str) -> Sample:
        """Return the same from another issuer."""
        return replace(self, url=url)

    def attributes(self, **changes: object) -> dict[str, str]:
        """Return what conditions see of the token, changed."""
        return self.profile.attributes(merge({"iss": self.url, **self.claims}, changes))

    def guarded(self, **changes: object) -> set[str]:
        """Return the claims that a publisher has to name for the token, changed."""
        return {guard.claim for guard in self.profile.guards(self.attributes(**changes))}

    def proven(self, changes: Mapping[str, object]) -> VerifiedIdToken:
        """Return the token, changed, really signed and really verified."""
        audience = self.profile.fixed_audience or AUDIENCE
        times = {"iat": NOW, "nbf": NOW - 600, "exp": NOW + 300}
        key = signing_key("ES256")
        text = key.sign(merge({"iss": self.url, "aud": audience, **times, **self.claims}, changes))
        return verify_id_token(
            read_unverified(text),
            issuer=self.issuer,
            keys=[key.public_key()],
            audience=audience,
            now=NOW,
            required_claims=self.profile.required_claims,
        )

    def publisher(self, conditions: Mapping[str, str], pins: Mapping[str, str] | None = None) -> Publisher:
        """Return a publisher with these exact conditions and the right pins, or others."""
        return Publisher(
            id="pub-1",
            version=1,
            resource=parse_resource("acme/model"),
            issuer_id=1,
            issuer_url=self.url,
            issuer_kind=self.kind,
            operations=(Operation.WRITE,),
            conditions=tuple(Condition(claim, Operator.EQUALS, (value,)) for claim, value in conditions.items()),
            pins=tuple(Pin(claim, value) for claim, value in (self.pins if pins is None else pins).items()),
            audience=AUDIENCE,
            token_prefix="kl_",
        )

    def decide(
        self,
        changes: Mapping[str, object] | None = None,
        *,
        conditions: Mapping[str, str] | None = None,
        pins: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return what is wrong with the token, changed: nothing, claims that differ, or the one that is refused always.

        Args:
            changes: Claims to set or drop.
            conditions: Of the publisher; what it must name and a bit more when `None`.
            pins: Of the publisher; the right ones when `None`.
        """
        record = self.publisher({**self.needed, **self.named} if conditions is None else conditions, pins)
        try:
            token = self.proven(changes or {})
            attributes = self.profile.attributes(token.claims)
        except ClaimError as error:
            return [f"refused: {error.claim}"]
        return [item.claim for item in judge(record, attributes, token, self.profile, NOW).mismatches]


_CIRCLECI: Final = "oidc.circleci.com/"
_ORG: Final = uuid(0xA1)

SAMPLES: Final = {
    sample.kind: sample
    for sample in (
        Sample(
            kind="github",
            url="https://token.actions.githubusercontent.com",
            claims=github_claims(environment="production"),
            pins={"repository_id": "456789", "repository_owner_id": "123456"},
            named={"repository": "acme/widgets", "branch": "main", "workflow": "train.yml"},
        ),
        Sample(
            kind="gitlab",
            url="https://gitlab.example.com",
            claims=gitlab_claims(environment="production", environment_protected="true"),
            pins={"project_id": "20", "namespace_id": "72"},
            named={"project_path": "acme/widgets", "branch": "main", "workflow": ".gitlab-ci.yml"},
        ),
        Sample(
            kind="circleci",
            url=f"https://oidc.circleci.com/org/{_ORG}",
            claims={
                "sub": f"org/{_ORG}/project/{uuid(2)}/user/{uuid(3)}",
                f"{_CIRCLECI}org-id": _ORG,
                f"{_CIRCLECI}project-id": uuid(2),
                f"{_CIRCLECI}pipeline-definition-id": uuid(4),
                f"{_CIRCLECI}context-ids": [uuid(5), uuid(6)],
                f"{_CIRCLECI}vcs-origin": "github.com/acme/widgets",
                f"{_CIRCLECI}vcs-ref": "refs/heads/main",
                f"{_CIRCLECI}ssh-rerun": False,
                f"{_CIRCLECI}pipeline-id": uuid(7),
                f"{_CIRCLECI}workflow-id": uuid(8),
                f"{_CIRCLECI}job-id": uuid(9),
            },
            pins={f"{_CIRCLECI}org-id": _ORG, f"{_CIRCLECI}project-id": uuid(2)},
            needed={f"{_CIRCLECI}vcs-origin": "github.com/acme/widgets"},
            named={
                "branch": "main",
                f"{_CIRCLECI}pipeline-definition-id": uuid(4),
                f"context:{uuid(5)}": "true",
            },
        ),
        Sample(
            kind="bitbucket",
            url="https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
            claims={
                "sub": f"{{{uuid(2)}}}:{{{uuid(5)}}}",
                "workspaceUuid": f"{{{uuid(1)}}}",
                "repositoryUuid": f"{{{uuid(2)}}}",
                "pipelineUuid": f"{{{uuid(3)}}}",
                "stepUuid": f"{{{uuid(5)}}}",
                "branchName": "main",
                "deploymentEnvironmentUuid": f"{{{uuid(4)}}}",
            },
            pins={"workspaceUuid": f"{{{uuid(1)}}}", "repositoryUuid": f"{{{uuid(2)}}}"},
            named={"branch": "main", "environment": f"{{{uuid(4)}}}"},
        ),
        Sample(
            kind="buildkite",
            url="https://agent.buildkite.com",
            claims={
                "sub": f"organization:acme:pipeline:release:ref:refs/heads/main:commit:{SHA}:step:publish",
                "organization_slug": "acme",
                "pipeline_slug": "release",
                "organization_id": uuid(1),
                "pipeline_id": uuid(2),
                "build_number": 42,
                "build_branch": "main",
                "build_tag": None,
                "build_commit": SHA,
                "build_source": "webhook",
                "step_key": "publish",
                "job_id": uuid(3),
                "agent_id": uuid(4),
                "runner_environment": "buildkite-hosted",
                "jti": "one",
            },
            pins={"organization_id": uuid(1), "pipeline_id": uuid(2)},
            named={"pipeline": "acme/release", "branch": "main", "step_key": "publish", "build_source": "webhook"},
        ),
        Sample(
            kind="azure-devops",
            url=f"https://vstoken.dev.azure.com/{uuid(1)}",
            claims={
                "sub": "p://acme/widgets/release",
                "jti": "one",
                "org_id": uuid(1),
                "prj_id": uuid(2),
                "def_id": "7",
                "rpo_id": uuid(3),
                "rpo_uri": "https://dev.azure.com/acme/widgets/_git/widgets",
                "rpo_ver": SHA,
                "rpo_ref": "refs/heads/main",
                "run_id": "99",
            },
            pins={"org_id": uuid(1), "prj_id": uuid(2), "def_id": "7"},
            named={"sub": "p://acme/widgets/release", "branch": "main", "rpo_id": uuid(3)},
        ),
        Sample(
            kind="google",
            url="https://accounts.google.com",
            claims={
                "sub": "104321987654321098765",
                "azp": "104321987654321098765",
                "email": "publisher@acme-prod.iam.gserviceaccount.com",
                "email_verified": True,
                "google": {
                    "compute_engine": {
                        "project_id": "acme-prod",
                        "project_number": 739419398126,
                        "zone": "europe-west1-b",
                        "instance_id": "4567890123456789012",
                        "instance_name": "builder",
                        "license_id": ["1"],
                    }
                },
            },
            pins={"sub": "104321987654321098765"},
            named={"email": "publisher@acme-prod.iam.gserviceaccount.com", "project_number": "739419398126"},
        ),
        Sample(
            kind="kubernetes",
            url="https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
            claims={
                "sub": "system:serviceaccount:ci:publisher",
                "aud": [AUDIENCE],
                "jti": uuid(9),
                "kubernetes.io": {
                    "namespace": "ci",
                    "serviceaccount": {"name": "publisher", "uid": uuid(1)},
                    "pod": {"name": "release-1", "uid": uuid(2)},
                    "node": {"name": "node-1", "uid": uuid(3)},
                    "warnafter": 1,
                },
            },
            pins={"service_account": "ci/publisher", "service_account_uid": uuid(1)},
            named={"namespace": "ci"},
        ),
        Sample(
            kind="spiffe",
            url="https://oidc.spire.example.org",
            claims={"sub": "spiffe://example.org/ci/publisher", "aud": [AUDIENCE]},
            pins={"sub": "spiffe://example.org/ci/publisher"},
        ),
        Sample(
            kind="forgejo",
            url="https://codeberg.org/api/actions",
            claims={
                "sub": "repo:acme/widgets:ref:refs/heads/main",
                "actor": "alice",
                "actor_id": "31",
                "base_ref": "",
                "head_ref": "",
                "event_name": "push",
                "ref": "refs/heads/main",
                "ref_type": "branch",
                "ref_protected": "true",
                "repository": "acme/widgets",
                "repository_id": "21",
                "repository_owner": "acme",
                "repository_owner_id": "11",
                "run_id": "5",
                "run_number": "4",
                "run_attempt": "1",
                "sha": SHA,
                "workflow": "release.yml",
                "workflow_ref": "acme/widgets/.forgejo/workflows/release.yml@refs/heads/main",
            },
            pins={"repository_id": "21", "repository_owner_id": "11"},
            named={
                "repository": "acme/widgets",
                "branch": "main",
                "workflow": "release.yml",
                "ref_protected": "true",
            },
        ),
        Sample(
            kind="generic",
            url="https://ci.example.net",
            claims={"sub": "pipeline:release", "team": "acme", "number": 7, "groups": ["a"]},
            pins={"sub": "pipeline:release"},
            named={"team": "acme", "number": "7"},
        ),
    )
}
