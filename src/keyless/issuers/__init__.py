"""Claim profiles of the CI platforms we know: one file each, its claim table on one screen.

A profile says which claims a token must carry, which a publisher may name, which ids it must pin, and which values
are refused unless named. Pure: claims in, attributes out.
"""

from __future__ import annotations

from typing import Final

from keyless.errors import ConfigurationError
from keyless.issuers.generic import GENERIC
from keyless.issuers.github import GITHUB
from keyless.issuers.gitlab import GITLAB
from keyless.issuers.profile import Attributes, Guard, Profile

PROFILES: Final = {profile.kind: profile for profile in (GITHUB, GITLAB, GENERIC)}

__all__ = ["PROFILES", "Attributes", "Guard", "Profile", "profile_for"]


def profile_for(kind: str) -> Profile:
    """Return the profile of an issuer kind.

    Raises:
        ConfigurationError: The kind is unknown.
    """
    try:
        return PROFILES[kind]
    except KeyError:
        raise ConfigurationError(f"unknown issuer kind {kind!r}", hint=f"Known kinds: {', '.join(PROFILES)}.") from None
