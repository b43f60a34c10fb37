"""How a resource server checks one of our tokens with other libraries: signature, issuer, audience, time, claims.

None of them asks whether the token was revoked. Each gets its key ready-made, which is the kinder case.
"""

from __future__ import annotations

from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey

PREFIX = "kl_"
REQUIRED = ("iss", "aud", "sub", "client_id", "jti", "iat", "exp", "resource", "scope")
Check = Callable[[str], object]


def pyjwt_check(key: ec.EllipticCurvePublicKey, issuer: str, audience: str) -> Check:
    """PyJWT's `decode`."""
    options = {"require": list(REQUIRED)}

    def check(token: str) -> object:
        return jwt.decode(
            token.removeprefix(PREFIX), key, algorithms=["ES256"], audience=audience, issuer=issuer, options=options
        )

    return check


def joserfc_check(jwk: dict[str, object], issuer: str, audience: str) -> Check:
    """joserfc's `decode` and its claims registry."""
    key = ECKey.import_key(jwk)
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        **{name: {"essential": True} for name in REQUIRED if name not in {"iss", "aud"}},
    )

    def check(token: str) -> object:
        found = joserfc_jwt.decode(token.removeprefix(PREFIX), key, algorithms=["ES256"])
        registry.validate(found.claims)
        return found

    return check


def bare_check(key: ec.EllipticCurvePublicKey) -> Callable[[tuple[bytes, bytes]], None]:
    """The ES256 primitive (RFC 7518 section 3.4): r and s of the token to the form cryptography takes, and verify."""
    ecdsa = ec.ECDSA(hashes.SHA256())

    def check(parts: tuple[bytes, bytes]) -> None:
        signing_input, signature = parts
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        key.verify(encode_dss_signature(r, s), signing_input, ecdsa)

    return check


def barest_check(key: ec.EllipticCurvePublicKey) -> Callable[[tuple[bytes, bytes]], None]:
    """Nothing but the call into cryptography, with the signature in its form already."""
    ecdsa = ec.ECDSA(hashes.SHA256())

    def check(parts: tuple[bytes, bytes]) -> None:
        signing_input, signature = parts
        key.verify(signature, signing_input, ecdsa)

    return check
