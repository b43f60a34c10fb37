"""Claim profiles of the CI platforms we know: one file each, its claim table on one screen.

A profile says which claims a token must carry, which a publisher may name, which ids it must pin, and which values
are refused unless named. Pure: claims in, attributes out.
"""

from __future__ import annotations

from typing import Final

from keyless.errors import ConfigurationError
from keyless.issuers.azure_devops import AZURE_DEVOPS
from keyless.issuers.bitbucket import BITBUCKET
from keyless.issuers.buildkite import BUILDKITE
from keyless.issuers.circleci import CIRCLECI
from keyless.issuers.forgejo import FORGEJO
from keyless.issuers.generic import GENERIC
from keyless.issuers.github import GITHUB
from keyless.issuers.gitlab import GITLAB
from keyless.issuers.google import GOOGLE
from keyless.issuers.kubernetes import KUBERNETES
from keyless.issuers.profile import Attributes, Guard, Profile
from keyless.issuers.spiffe import SPIFFE

PROFILES: Final = {
    profile.kind: profile
    for profile in (
        GITHUB,
        GITLAB,
        CIRCLECI,
        BITBUCKET,
        BUILDKITE,
        AZURE_DEVOPS,
        GOOGLE,
        KUBERNETES,
        SPIFFE,
        FORGEJO,
        GENERIC,
    )
}

__all__ = ["PROFILES", "Attributes", "Guard", "Profile", "kind_of", "profile_for"]


def profile_for(kind: str) -> Profile:
    """Return the profile of an issuer kind.

    Raises:
        ConfigurationError: The kind is unknown.
    """
    try:
        return PROFILES[kind]
    except KeyError:
        raise ConfigurationError(f"unknown issuer kind {kind!r}", hint=f"Known kinds: {', '.join(PROFILES)}.") from None


def kind_of(url: str) -> str | None:
    """Return the kind of issuer that a URL belongs to, or `None` when only its operator can know (S09, T23).

    Self-managed platforms live anywhere, so most of them are not known by their URL. The answer picks a profile for a
    new issuer record and nothing else: each URL is a record of its own with publishers of its own (T38).
    """
    return next((profile.kind for profile in PROFILES.values() if profile.recognises(url)), None)
