"""The door to the fake CI platforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keyless.testing.github import FakeGitHub
from keyless.testing.gitlab import FakeGitLab
from keyless.testing.issuer import FakeIssuer


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
