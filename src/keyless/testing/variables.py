"""Platforms around a job whose id token was put into a variable before it began: Bitbucket, Jenkins and the table's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from keyless.testing.claims import DROP
from keyless.testing.issuer import FakeIssuer
from keyless.testing.platforms import platform_claims

BITBUCKET_DEFAULT: Final = "ari:cloud:bitbucket::workspace/6b1e4d2a-7a25-4f0a-8a0e-3c0d7f5b9e11"


@dataclass(frozen=True, slots=True)
class _Platform:
    """Its markers, the variable, how long a token lives in seconds, and the audience where the platform decides."""

    markers: Mapping[str, str]
    variable: str
    lifetime_seconds: int
    audience: str | None = None
    has_jti: bool = True


_PLATFORMS: Final[Mapping[str, _Platform]] = {
    "semaphore": _Platform(
        {"SEMAPHORE": "true", "CI": "true"}, "SEMAPHORE_OIDC_TOKEN", 86_400, "https://acme.semaphoreci.com"
    ),
    "spacelift": _Platform({}, "SPACELIFT_OIDC_TOKEN", 3600, "acme.app.spacelift.io"),
    "terraform-cloud": _Platform({"TFC_RUN_ID": "run-abc"}, "TFC_WORKLOAD_IDENTITY_TOKEN", 7200),
    "vercel": _Platform({"VERCEL": "1", "CI": "1"}, "VERCEL_OIDC_TOKEN", 3600, "https://vercel.com/acme"),
    "harness": _Platform({"HARNESS_BUILD_ID": "42"}, "PLUGIN_OIDC_TOKEN_ID", 3600, "harness-connector"),
    "bitrise": _Platform({"BITRISE_IO": "true", "CI": "true"}, "BITRISE_IDENTITY_TOKEN", 3600),
    "pulumi": _Platform({}, "PULUMI_OIDC_TOKEN", 3600, "acme"),
    "env0": _Platform({}, "ENV0_OIDC_TOKEN", 3600, "https://prod.env0.com"),
    "bitbucket": _Platform(
        {"CI": "true", "BITBUCKET_BUILD_NUMBER": "42", "BITBUCKET_BRANCH": "main", "BITBUCKET_COMMIT": "4f6c1e2d"},
        "BITBUCKET_STEP_OIDC_TOKEN",
        3600,
        has_jti=False,
    ),
    "jenkins": _Platform(
        {"JENKINS_URL": "https://jenkins.example.org/", "BUILD_ID": "42", "BUILD_TAG": "jenkins-acme-widgets-42"},
        "HF_OIDC_ID_TOKEN",
        3600,
        has_jti=False,
    ),
}


def fixed_audience(platform: str) -> str | None:
    """Return the `aud` that a platform gives every token, or `None` where the user chooses it."""
    return _PLATFORMS[platform].audience


class FakeVariableCI:
    """One job of a platform that has no way to mint in the job.

    Args:
        issuer: Signs the token.
        platform: Its name, as `keyless providers` shows it.
        claims: What differs from `platform_claims(platform)`.
        audience: What the job was configured with; ignored where the platform decides.
        variable: Where the token is, for a platform on which the user names it.
        configured: False for a job whose configuration asks for no token.
    """

    def __init__(
        self,
        issuer: FakeIssuer,
        platform: str,
        claims: Mapping[str, object] | None = None,
        *,
        audience: str | Sequence[str] | None = None,
        variable: str | None = None,
        configured: bool = True,
    ) -> None:
        self.issuer: Final = issuer
        self.claims: dict[str, object] = platform_claims(platform, **(claims or {}))
        self.configured = configured
        self._platform: Final = _PLATFORMS[platform]
        self.audience: Final = self._platform.audience or _shape(platform, audience)
        self.variable: Final = variable or self._platform.variable
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @cached_property
    def id_token(self) -> str:
        """Return the job's one token."""
        unique: dict[str, object] = {} if self._platform.has_jti else {"jti": DROP}
        claims = {**self.claims, "aud": self.audience, **unique}
        return self.issuer.mint(claims, lifetime_seconds=self._platform.lifetime_seconds)

    def environ(self) -> dict[str, str]:
        """Return the variables of the job."""
        token = {self.variable: self.id_token} if self.configured else {}
        return {**self._platform.markers, **token}

    def bind_file(self, variable: str) -> dict[str, str]:
        """Return the variables of a job that got its token as a file, as Jenkins' file credentials give it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="keyless-testing-")
        path = Path(self._folder.name) / "id-token"
        path.write_text(self.id_token)
        return {**self._platform.markers, variable: str(path)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file, if there is one."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _shape(platform: str, audience: str | Sequence[str] | None) -> str | list[str]:
    """Return `aud` as the platform writes it."""
    given = [audience] if isinstance(audience, str) else list(audience or ())
    if platform == "bitbucket":
        return [BITBUCKET_DEFAULT, *given] if given else BITBUCKET_DEFAULT  # a list keeps the default one
    if platform == "jenkins":
        return given  # always a list; the credential's audience may be empty
    return given[0] if len(given) == 1 else given
