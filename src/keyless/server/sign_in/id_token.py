"""What a provider's id token must say beyond what a job's must (OpenID Connect Core 1.0 section 3.1.3.7). Pure.

Signature, issuer, audience, times and the claims' types are those of `keyless.oidc.id_token`, as for every other token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keyless.errors import InvalidClaimError, MissingClaimError
from keyless.jose.claims import numeric_date, require_text
from keyless.jose.jwk import PublicKey
from keyless.oidc.id_token import UnverifiedIdToken, verify_id_token
from keyless.oidc.issuer import Issuer
from keyless.secret import Secret

_HASHES: Final[Mapping[str, Callable[..., Any]]] = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class Expected:
    """Say what a token must be an answer to.

    Attributes:
        client_id: Ours at the provider.
        nonce: Of the attempt.
        access_token: That came beside it, for `at_hash`.
        proven_since: Unix seconds; the person must have proved itself after that. `None`: it need not.
    """

    client_id: str
    nonce: str
    access_token: Secret | None
    proven_since: float | None


@dataclass(frozen=True, slots=True)
class Proven:
    """Hold who somebody is. `authenticated_at` is when the provider last saw a proof of it, `None`: it does not say."""

    issuer: str
    subject: str
    authenticated_at: int | None
    claims: Mapping[str, object]


def prove(
    unverified: UnverifiedIdToken,
    expected: Expected,
    *,
    issuer: Issuer,
    keys: Sequence[PublicKey],
    now: float,
    leeway_seconds: float,
) -> Proven:
    """Prove a token.

    Raises:
        TokenError: It is not the provider's, not for us, not of this attempt, or the proof is too old.
    """
    token = verify_id_token(
        unverified,
        issuer=issuer,
        keys=keys,
        audience=expected.client_id,
        now=now,
        leeway_seconds=leeway_seconds,
    )
    claims = token.claims
    nonce = require_text(claims, "nonce")
    if not hmac.compare_digest(nonce.encode("utf-8", "surrogatepass"), expected.nonce.encode("ascii")):
        raise InvalidClaimError("the token is of another attempt to sign in", claim="nonce")
    audiences = claims.get("aud")
    if isinstance(audiences, list) and len(audiences) > 1 and "azp" not in claims:
        raise MissingClaimError("the token has several audiences and does not say who asked for it", claim="azp")
    if "azp" in claims and claims["azp"] != expected.client_id:
        raise InvalidClaimError("somebody else asked for the token", claim="azp")
    if "at_hash" in claims:
        _check_access_token(require_text(claims, "at_hash"), expected.access_token, unverified.algorithm)
    authenticated_at = numeric_date(claims, "auth_time", required=expected.proven_since is not None)
    if authenticated_at is not None and authenticated_at > now + leeway_seconds:
        raise InvalidClaimError("the proof lies in the future", claim="auth_time")
    if expected.proven_since is not None and (authenticated_at or 0) < expected.proven_since - leeway_seconds:
        raise InvalidClaimError("the provider asked for no new proof", claim="auth_time")
    at = None if authenticated_at is None else min(int(authenticated_at), int(now))
    return Proven(issuer.url, token.subject, at, claims)


def _check_access_token(said: str, access_token: Secret | None, algorithm: str) -> None:
    digest = _HASHES.get(algorithm[-3:], hashlib.sha512)  # EdDSA with Ed25519 hashes with SHA-512
    if access_token is None:
        raise InvalidClaimError("the token belongs to an access token that did not come", claim="at_hash")
    left = digest(access_token.reveal().encode("ascii", "replace")).digest()
    left = left[: len(left) // 2]
    if not hmac.compare_digest(base64.urlsafe_b64encode(left).rstrip(b"="), said.encode("utf-8", "surrogatepass")):
        raise InvalidClaimError("the token belongs to another access token", claim="at_hash")
