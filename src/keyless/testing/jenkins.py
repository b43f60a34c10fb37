"""Jenkins with the OpenID Connect Provider plugin around a build."""

from __future__ import annotations

from collections.abc import Mapping

from keyless.testing.issuer import FakeIssuer
from keyless.testing.variables import FakeVariableCI


class FakeJenkins(FakeVariableCI):
    """One build inside a `withCredentials` block; a binding of its own signs a token of its own.

    Args:
        issuer: Signs the token; on Jenkins its URL is `<JENKINS_URL>oidc`.
        claims: What differs from `platform_claims("jenkins")`.
        audience: The credential's audience, set by whoever manages it; it may be empty.
        variable: The variable of the binding.
        bound: False outside such a block.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | None = None,
        variable: str = "HF_OIDC_ID_TOKEN",
        bound: bool = True,
    ) -> None:
        super().__init__(issuer, "jenkins", claims, audience=audience, variable=variable, configured=bound)
