"""GitLab CI/CD around a job: its id token sits in a variable, minted once, before the script starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Self

from keyless.testing.claims import gitlab_claims
from keyless.testing.issuer import FakeIssuer

LIFETIME_SECONDS: Final = 3600  # the job's time-out; GitLab's default for a project is one hour
NOT_BEFORE_SECONDS: Final = 5  # GitLab's `nbf` lies this long before `iat`


class FakeGitLab:
    """One GitLab job with an `id_tokens:` block.

    Args:
        issuer: Signs the token; its URL is the instance's.
        claims: What differs from `gitlab_claims()`.
        audience: The block's `aud`: a text, or several.
        variable: The block's variable name, chosen by the user on the real platform.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | Sequence[str],
        variable: str = "HF_OIDC_ID_TOKEN",
    ) -> None:
        self.issuer: Final = issuer
        self.claims: dict[str, object] = gitlab_claims(**(claims or {}))
        self.audience: Final = audience if isinstance(audience, str) else list(audience)
        self.variable: Final = variable
        self.lifetime_seconds = LIFETIME_SECONDS

    @cached_property
    def id_token(self) -> str:
        """Return the job's one token; it cannot be minted again, as on the real platform."""
        issued_at = int(self.issuer.clock())
        return self.issuer.mint(
            self.claims, lifetime_seconds=self.lifetime_seconds, aud=self.audience, nbf=issued_at - NOT_BEFORE_SECONDS
        )

    def environ(self) -> dict[str, str]:
        """Return the variables of the job ("Predefined CI/CD variables reference")."""
        ref = str(self.claims.get("ref", ""))
        return {
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_COMMIT_REF_NAME": ref,
            "CI_COMMIT_SHA": str(self.claims.get("sha", "")),
            "CI_JOB_ID": str(self.claims.get("job_id", "")),
            "CI_PIPELINE_ID": str(self.claims.get("pipeline_id", "")),
            "CI_PIPELINE_SOURCE": str(self.claims.get("pipeline_source", "")),
            "CI_PROJECT_ID": str(self.claims.get("project_id", "")),
            "CI_PROJECT_PATH": str(self.claims.get("project_path", "")),
            "CI_SERVER_URL": self.issuer.url,
            self.variable: self.id_token,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: a job whose token is ready has nothing to stop. All platforms may be used in a `with` block."""
