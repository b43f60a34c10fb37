"""Bitbucket Pipelines around a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keyless.testing.issuer import FakeIssuer
from keyless.testing.variables import FakeVariableCI


class FakeBitbucket(FakeVariableCI):
    """One step of a Bitbucket pipeline.

    Args:
        issuer: Signs the token.
        claims: What differs from `platform_claims("bitbucket")`.
        audiences: What `oidc: audiences:` lists; without any the token is for the workspace.
        oidc: Whether the step has `oidc:` at all.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audiences: Sequence[str] = (),
        oidc: bool = True,
    ) -> None:
        super().__init__(issuer, "bitbucket", claims, audience=audiences, configured=oidc)
