"""Google Cloud service accounts: Compute Engine, Cloud Run, Cloud Build, GKE's metadata server.

Source: Google Cloud docs, "Verify the identity of a Compute Engine instance" and "Get an ID token". The same issuer
signs people's logins (T17). An address can be created again after its account was deleted, so the number in `sub` is
pinned and `email` is the name beside it. Nothing says which repository or commit runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from keyless.errors import InvalidClaimError
from keyless.issuers.profile import PinForm, Profile
from keyless.oidc.issuer import ReplayMode

_COMPUTE: Final = ("google", "compute_engine")
_SERVICE_ACCOUNT: Final = re.compile(r"[^@]+@(?:[A-Za-z0-9-]+\.)+gserviceaccount\.com")
SUBJECT: Final = PinForm(re.compile(r"[1-9][0-9]{5,24}"), "the account's unique number, not its address")


def _reject(claims: Mapping[str, object]) -> None:
    email = claims.get("email")
    if email is None and claims.get("email_verified") is None:
        return  # the metadata server's short form names the account by its number only
    if claims.get("email_verified") is not True:  # T82: a boolean here; the text "true" is not the platform's
        raise InvalidClaimError("the token's address is not verified", claim="email_verified")
    if not isinstance(email, str) or not _SERVICE_ACCOUNT.fullmatch(email):
        raise InvalidClaimError("the token is a person's login, not a service account's", claim="email")


def _derive(_claims: dict[str, str]) -> None:
    """Add nothing: an account is all that a token names."""


GOOGLE: Final = Profile(
    kind="google",
    default_url="https://accounts.google.com",
    optional_claims=("email", "email_verified"),
    nested_claims={
        "project_id": (*_COMPUTE, "project_id"),
        "project_number": (*_COMPUTE, "project_number"),
        "zone": (*_COMPUTE, "zone"),
        "instance_id": (*_COMPUTE, "instance_id"),
    },
    derived_claims=("sub",),
    hidden_claims=frozenset({"email_verified"}),
    ignored_claims=("azp", "google.compute_engine.instance_name", "google.compute_engine.license_id"),
    pin_claims={"sub": SUBJECT},
    glob_claims=frozenset(),
    denied={
        "email_verified": "anything but `true` where there is an address",
        "email": "not a service account's",
    },
    notes={
        "sub": "the service account's unique number",
        "email": "its address; a name, so never enough alone",
        "project_id": "on Compute Engine with `format=full` only, like `project_number`, `zone` and `instance_id`",
    },
    reject=_reject,
    derive=_derive,
    repository_claim="email",
    subject_claims=("sub", "project_id", "project_number", "zone", "instance_id"),  # D15: never an address
    max_lifetime_seconds=3600,
    max_age_seconds=3600,
    replay=ReplayMode.COUNTED,  # the metadata server hands one token out again for up to an hour; it has no `jti`
)
