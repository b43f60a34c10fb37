"""Any other OIDC issuer an operator configures.

We know nothing of its claims, so a publisher must pin the exact `sub`, or the immutable claims that the operator
declared for the issuer (M00b).
"""

from __future__ import annotations

from typing import Final

from keyless.issuers.profile import Profile
from keyless.oidc.issuer import ReplayMode


def _derive(_claims: dict[str, str]) -> None:
    """Add nothing: no claim of an unknown issuer has a known meaning."""


GENERIC: Final = Profile(
    kind="generic",
    derived_claims=("sub",),
    open_claims=True,
    glob_claims=frozenset({"ref"}),
    derive=_derive,
    subject_claims=("sub",),
    max_lifetime_seconds=3600,
    max_age_seconds=3600,
    replay=ReplayMode.COUNTED,  # many platforms hand the same token out again
)
