"""SPIFFE: JWT-SVIDs of a trust domain that runs an OIDC discovery provider.

Source: SPIFFE standards, "JWT-SVID" and "SPIFFE ID". `sub` is the whole identity and is compared as a whole. The
standard demands neither `iss` nor `iat`; we do, and SPIRE sets both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from keyless.errors import InvalidClaimError
from keyless.issuers.profile import PinForm, Profile
from keyless.oidc.issuer import ReplayMode

# SPIFFE ID sections 2.1 and 2.2: a path without empty, `.` and `..` segments and without a trailing slash.
SPIFFE_ID: Final = PinForm(
    re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+"),
    "a workload's SPIFFE ID, spiffe://TRUST-DOMAIN/PATH",
)


def _reject(claims: Mapping[str, object]) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not SPIFFE_ID.pattern.fullmatch(subject):
        raise InvalidClaimError("the token's subject is not a workload's SPIFFE ID", claim="sub")


def _derive(_claims: dict[str, str]) -> None:
    """Add nothing: a SPIFFE ID is not taken apart."""


SPIFFE: Final = Profile(
    kind="spiffe",
    derived_claims=("sub",),
    pin_claims={"sub": SPIFFE_ID},
    glob_claims=frozenset(),
    denied={"sub": "not a SPIFFE ID with a path"},
    notes={"sub": "`spiffe://TRUST-DOMAIN/PATH`"},
    reject=_reject,
    derive=_derive,
    subject_claims=("sub",),
    algorithms=("RS256", "ES256", "ES384"),  # SPIRE signs with RSA, P-256 or P-384 keys, as its operator chose
    max_lifetime_seconds=3600,
    max_age_seconds=3600,
    replay=ReplayMode.COUNTED,  # agents and their libraries hand a token out again
)
