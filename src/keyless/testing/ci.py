"""The door to the fake CI platforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from keyless.testing.github import FakeGitHub
from keyless.testing.gitlab import FakeGitLab
from keyless.testing.issuer import FakeIssuer

if TYPE_CHECKING:
    from keyless.testing.aws import FakeAWS
    from keyless.testing.azure_devops import FakeAzureDevOps
    from keyless.testing.bitbucket import FakeBitbucket
    from keyless.testing.buildkite import FakeBuildkite
    from keyless.testing.circleci import FakeCircleCI
    from keyless.testing.forgejo import FakeForgejo
    from keyless.testing.google_cloud import FakeGoogleCloud
    from keyless.testing.jenkins import FakeJenkins
    from keyless.testing.kubernetes import FakeKubernetes
    from keyless.testing.spiffe import FakeSpire
    from keyless.testing.variables import FakeVariableCI


class FakeCI:
    """Make the CI platform around a job.

    Example:
        >>> from keyless.testing import FakeIssuer
        >>> with FakeIssuer() as issuer, FakeCI.github(issuer, {"ref": "refs/heads/main"}) as ci:
        ...     sorted(name for name in ci.environ() if name.startswith("ACTIONS_"))
        ['ACTIONS_ID_TOKEN_REQUEST_TOKEN', 'ACTIONS_ID_TOKEN_REQUEST_URL']
    """

    @staticmethod
    def github(issuer: FakeIssuer, claims: Mapping[str, object] | None = None) -> FakeGitHub:
        """Return GitHub Actions, to be used in a `with` block; `claims` is what differs from `github_claims()`."""
        return FakeGitHub(issuer, claims)

    @staticmethod
    def gitlab(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | Sequence[str],
        variable: str = "HF_OIDC_ID_TOKEN",
    ) -> FakeGitLab:
        """Return a GitLab job whose `id_tokens:` block has this audience and variable."""
        return FakeGitLab(issuer, claims, audience=audience, variable=variable)

    @staticmethod
    def forgejo(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        openid_connect: bool = True,
    ) -> FakeForgejo:
        """Return a Forgejo job, to be used in a `with` block; `openid_connect=False` is one without the switch."""
        from keyless.testing.forgejo import FakeForgejo  # a test pays for its own platform

        return FakeForgejo(issuer, claims, openid_connect=openid_connect)

    @staticmethod
    def circleci(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        forked: bool = False,
        has_program: bool = True,
    ) -> FakeCircleCI:
        """Return a CircleCI job with its `circleci` program, to be used in a `with` block."""
        from keyless.testing.circleci import FakeCircleCI  # a test pays for its own platform

        return FakeCircleCI(issuer, claims, forked=forked, has_program=has_program)

    @staticmethod
    def buildkite(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        in_container: bool = False,
        knows_endpoint: bool = True,
        has_program: bool = True,
    ) -> FakeBuildkite:
        """Return a Buildkite job with the agent's API and program, to be used in a `with` block."""
        from keyless.testing.buildkite import FakeBuildkite  # a test pays for its own platform

        return FakeBuildkite(
            issuer, claims, in_container=in_container, knows_endpoint=knows_endpoint, has_program=has_program
        )

    @staticmethod
    def azure_devops(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        mapping: Literal["yes", "no", "unresolved"] = "yes",
    ) -> FakeAzureDevOps:
        """Return a step of an Azure DevOps job, to be used in a `with` block; `mapping` is that of its access token."""
        from keyless.testing.azure_devops import FakeAzureDevOps  # a test pays for its own platform

        return FakeAzureDevOps(issuer, claims, mapping=mapping)

    @staticmethod
    def bitbucket(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audiences: Sequence[str] = (),
        oidc: bool = True,
    ) -> FakeBitbucket:
        """Return a Bitbucket step whose `oidc:` lists these audiences."""
        from keyless.testing.bitbucket import FakeBitbucket  # a test pays for its own platform

        return FakeBitbucket(issuer, claims, audiences=audiences, oidc=oidc)

    @staticmethod
    def jenkins(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | None = None,
        variable: str = "HF_OIDC_ID_TOKEN",
        bound: bool = True,
    ) -> FakeJenkins:
        """Return a Jenkins build inside a `withCredentials` block."""
        from keyless.testing.jenkins import FakeJenkins  # a test pays for its own platform

        return FakeJenkins(issuer, claims, audience=audience, variable=variable, bound=bound)

    @staticmethod
    def google_cloud(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        has_account: bool = True,
        may_impersonate: tuple[str, ...] = (),
    ) -> FakeGoogleCloud:
        """Return a Google machine's metadata server, to be used in a `with` block."""
        from keyless.testing.google_cloud import FakeGoogleCloud  # a test pays for its own platform

        return FakeGoogleCloud(issuer, claims, has_account=has_account, may_impersonate=may_impersonate)

    @staticmethod
    def aws(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        refusal: str | None = None,
    ) -> FakeAWS:
        """Return AWS around a workload, to be used in a `with` block; `refusal` is the code that STS answers."""
        from keyless.testing.aws import FakeAWS  # a test pays for its own platform

        return FakeAWS(issuer, claims, refusal=refusal)

    @staticmethod
    def kubernetes(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | None = None,
        may_create_tokens: bool = False,
    ) -> FakeKubernetes:
        """Return a pod with a projected token for this audience, to be used in a `with` block."""
        from keyless.testing.kubernetes import FakeKubernetes  # a test pays for its own platform

        return FakeKubernetes(issuer, claims, audience=audience, may_create_tokens=may_create_tokens)

    @staticmethod
    def spiffe(
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        registered: bool = True,
    ) -> FakeSpire:
        """Return a workload beside SPIRE's agent, to be used in a `with` block."""
        from keyless.testing.spiffe import FakeSpire  # a test pays for its own platform

        return FakeSpire(issuer, claims, registered=registered)

    @staticmethod
    def variable(
        issuer: FakeIssuer,
        platform: str,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | Sequence[str] | None = None,
        configured: bool = True,
    ) -> FakeVariableCI:
        """Return a job of a platform that puts its token into a variable, by the platform's name."""
        from keyless.testing.variables import FakeVariableCI  # as above

        return FakeVariableCI(issuer, platform, claims, audience=audience, configured=configured)
