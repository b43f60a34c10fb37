"""The verification of a CI id token: V02-V14, cheap and offline steps first.

Two halves, because the keys may have to be fetched in between: `read_unverified` says which issuer and key the token
claims, `verify_id_token` believes it. Only the second makes a `VerifiedIdToken`. Pure: issuer, keys and time are
arguments.
Reference: OpenID Connect Core 1.0 section 3.1.3.7, RFC 7519 section 7.2, RFC 8725.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from keyless.errors import (
    AudienceMismatchError,
    InvalidClaimError,
    InvalidSignatureError,
    MalformedTokenError,
    MissingClaimError,
)
from keyless.jose.claims import are_short_texts, check_times, numeric_date, require_text
from keyless.jose.compact import MAX_CACHED_HEADER_CHARS, CompactJws, parse_compact
from keyless.jose.json import parse_json_object
from keyless.jose.jwk import MAX_KID_CHARS, PublicKey
from keyless.jose.proven import MadeByProof
from keyless.oidc.issuer import Issuer

LEEWAY_SECONDS: Final = 30  # V11; the same constant bounds the life of a replay row (V17, T46)
MAX_LEEWAY_SECONDS: Final = 60
REPLAY_MARGIN_SECONDS: Final = 5  # V17
MAX_ISSUER_CHARS: Final = 255  # S02
MAX_SUBJECT_CHARS: Final = 1024
MAX_JTI_CHARS: Final = 512

_REGISTERED: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
_LONGEST_REGISTERED: Final = max(map(len, _REGISTERED))
# V03: these change what is signed or whose key is meant. `x5t`, `x5t#S256` and `x5c` are ignored: GitHub sends one.
_FORBIDDEN_HEADERS: Final = frozenset({"crit", "b64", "zip", "enc", "jwk", "jku", "x5u"})


class _Unverified(NamedTuple):
    jws: CompactJws
    unverified_claims: Mapping[str, object]
    unverified_issuer: str
    unverified_kid: str
    algorithm: str


class UnverifiedIdToken(MadeByProof, _Unverified):  # type: ignore[misc]  # the tuple's ways of making one are gone
    """Hold a well-formed token of which nothing is proven yet. Only `read_unverified` makes one.

    The claims are those of the bytes in `jws` and cannot be changed, so that proving the bytes proves the claims.
    """

    __slots__ = ()
    maker = "keyless.oidc.id_token.read_unverified"

    def __repr__(self) -> str:
        return f"UnverifiedIdToken(unverified_issuer={self.unverified_issuer!r}, kid={self.unverified_kid!r})"


class _Verified(NamedTuple):
    issuer: Issuer
    claims: Mapping[str, object]
    subject: str
    issued_at: int
    expires_at: int
    jti: str | None
    replay_key: bytes


class VerifiedIdToken(MadeByProof, _Verified):  # type: ignore[misc]  # the tuple's ways of making one are gone
    """Hold a CI id token whose signature, time, audience and claim types are proven.

    Only `verify_id_token` makes one. Times are Unix seconds. `replay_key` is 32 bytes and unique per issuer.
    """

    __slots__ = ()
    maker = "keyless.oidc.id_token.verify_id_token"

    def __repr__(self) -> str:
        return f"VerifiedIdToken(issuer={self.issuer.url!r}, subject={self.subject!r}, jti={self.jti!r})"


def check_header(header: Mapping[str, object], *, types: frozenset[str]) -> tuple[str, str]:
    """Return `alg` and `kid` of a JOSE header that asks for nothing we do not do (V03, V04, V07).

    Args:
        header: The parsed header.
        types: The accepted `typ` values in lower case, without `application/`; an absent `typ` counts as "".

    Raises:
        MalformedTokenError: A forbidden or mistyped member.
    """
    if forbidden := _FORBIDDEN_HEADERS & header.keys():
        raise MalformedTokenError(f"the token's header must not have {min(forbidden)!r}")
    typ = header.get("typ", "")
    # `application/` alone would be cut down to the word that stands for an absent `typ`.
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in types or typ.endswith("/"):
        raise MalformedTokenError("the token's header names another kind of token")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise MalformedTokenError("the token's header has no alg")
    if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID_CHARS or not kid.isprintable():
        raise MalformedTokenError("the token's header has no usable kid")
    return algorithm, kid


_ID_TOKEN_TYPES: Final = frozenset({"", "jwt"})


def _read_header(jws: CompactJws) -> tuple[str, str]:
    """Return `check_header` of a token; the tokens of one key share a header to the byte, so it is looked at once."""
    segment = jws.header_segment
    if (known := _known_headers.get(segment)) is None:
        known = check_header(jws.unverified_header, types=_ID_TOKEN_TYPES)
        if len(segment) <= MAX_CACHED_HEADER_CHARS:
            if len(_known_headers) >= _MAX_KNOWN_HEADERS:
                _known_headers.clear()  # strangers' headers: whoever really uses one brings it again
            _known_headers[segment] = known
    return known


_MAX_KNOWN_HEADERS: Final = 256
_known_headers: Final[dict[str, tuple[str, str]]] = {}


def read_unverified(token: str) -> UnverifiedIdToken:
    """Read which issuer and key a token claims, so that the right record and key can be looked up (V02-V07).

    Nothing of the answer may cause a request or be trusted (S01); it only picks among what is configured.

    Raises:
        MalformedTokenError: The token has not the shape of an id token.
    """
    jws = parse_compact(token)
    algorithm, kid = _read_header(jws)
    claims = parse_json_object(jws.unverified_payload)
    _refuse_lookalike_names(claims)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not 1 <= len(issuer) <= MAX_ISSUER_CHARS:
        raise MalformedTokenError("the token names no issuer")
    unchanging: Mapping[str, object] = MappingProxyType(claims)
    return tuple.__new__(UnverifiedIdToken, (jws, unchanging, issuer, kid, algorithm))


def _refuse_lookalike_names(claims: Mapping[str, object]) -> None:
    """Refuse `Iss`, fullwidth `iss` and their like: another parser may read them as the registered claim (T16)."""
    together = "".join(claims)
    if together.isascii() and together.islower():
        return  # folding changes none of them, so whichever looks like a registered claim is it
    for name in claims.keys() - _REGISTERED:
        # A text that folding and NFKC turn into ASCII only ever grows by it, so a longer name is no lookalike.
        # It must not reach `normalize` either: that takes quadratic time over a long run of combining marks.
        if len(name) > _LONGEST_REGISTERED:
            continue
        plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
        if plain.casefold() in _REGISTERED or (not name.isascii() and plain.upper().casefold() in _REGISTERED):
            raise MalformedTokenError("a claim's name can be mistaken for a registered one")


def verify_id_token(
    unverified: UnverifiedIdToken,
    *,
    issuer: Issuer,
    keys: Sequence[PublicKey],
    audience: str,
    now: float,
    leeway_seconds: float = LEEWAY_SECONDS,
    required_claims: Sequence[str] = (),
) -> VerifiedIdToken:
    """Prove a token: signature, claim types, time, lifetime, audience, the profile's claims (V04, V08-V14).

    Args:
        unverified: From `read_unverified`.
        issuer: The record whose `url` equals the token's `iss`.
        keys: That issuer's keys of the token's `kid`.
        audience: The one audience this service accepts.
        now: Unix seconds.
        leeway_seconds: Clock difference tolerated, at most 60.
        required_claims: Claims of the issuer's profile that must be there, non-empty.

    Raises:
        InvalidSignatureError: The algorithm is not the issuer's, no key fits, or the signature is wrong.
        ClaimError: A claim is missing, mistyped, out of time or meant for another audience; the class says which.
        MalformedTokenError: The record is not the one the token names (a programming mistake must not pass).
        ValueError: The leeway is out of range (a programming mistake).
    """
    if not 0 <= leeway_seconds <= MAX_LEEWAY_SECONDS:
        raise ValueError(f"leeway_seconds must be 0-{MAX_LEEWAY_SECONDS}")
    if unverified.unverified_issuer != issuer.url:
        raise MalformedTokenError("the token's issuer is not the one it is checked against")
    if unverified.algorithm not in issuer.algorithms:
        raise InvalidSignatureError("the token's algorithm is not allowed for its issuer")
    jws = unverified.jws
    fitting = [verify for key in keys if (verify := key.verifier(unverified.algorithm)) is not None]
    if not fitting:
        raise InvalidSignatureError("no key of that kid fits the token's algorithm")
    for position, verify in enumerate(fitting, start=1):
        try:
            verify(jws.signing_input, jws.signature)
            break
        except InvalidSignatureError:
            if position == len(fitting):
                raise
    claims = unverified.unverified_claims  # proven from here on: these are the bytes that were signed

    subject = require_text(claims, "sub")
    expires_at = numeric_date(claims, "exp", required=True)
    issued_at = numeric_date(claims, "iat", required=True)
    assert expires_at is not None and issued_at is not None  # noqa: S101  # required=True returns a number
    not_before = numeric_date(claims, "nbf", required=False)
    jti = _read_jti(claims)
    _refuse_control_characters("sub", subject, MAX_SUBJECT_CHARS)
    _check_audience(claims, audience, allow_multiple=issuer.allow_multiple_audiences)
    check_times(
        now=now, expires_at=expires_at, not_before=not_before, issued_at=issued_at, leeway_seconds=leeway_seconds
    )
    if expires_at <= issued_at:
        raise InvalidClaimError("the token expires before it was issued", claim="exp")
    if expires_at - issued_at > issuer.max_lifetime_seconds:
        raise InvalidClaimError(
            f"the token lives {expires_at - issued_at:.0f} s, more than the {issuer.max_lifetime_seconds} s"
            " allowed for its issuer",
            claim="exp",
        )
    if now - issued_at > issuer.max_age_seconds + leeway_seconds:
        raise InvalidClaimError(
            f"the token was issued {now - issued_at:.0f} s ago, more than the {issuer.max_age_seconds} s"
            " allowed for its issuer",
            claim="iat",
        )
    if not are_short_texts([claims.get(name) for name in required_claims], max_chars=MAX_SUBJECT_CHARS):
        for name in required_claims:
            _require_scalar(claims, name)
    digest = hashlib.sha256(b"jti\0" + jti.encode() if jti is not None else b"jws\0" + jws.signing_input).digest()
    proven = (issuer, claims, subject, int(issued_at), int(expires_at), jti, digest)
    return tuple.__new__(VerifiedIdToken, proven)


def _require_scalar(claims: Mapping[str, object], name: str) -> None:
    value = claims.get(name)
    if value is None or value == "":
        raise MissingClaimError(f"the token has no {name!r} claim", claim=name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidClaimError(f"the claim {name!r} is neither a text nor an integer", claim=name)
    if isinstance(value, str):
        _refuse_control_characters(name, value, MAX_SUBJECT_CHARS)


def _read_jti(claims: Mapping[str, object]) -> str | None:
    if "jti" not in claims:
        return None  # the replay key falls back to the signing input (T49)
    jti = claims["jti"]
    if not isinstance(jti, str) or not jti:
        raise InvalidClaimError("the claim 'jti' is not a text", claim="jti")
    _refuse_control_characters("jti", jti, MAX_JTI_CHARS)
    return jti


def _refuse_control_characters(name: str, value: str, max_chars: int) -> None:
    if len(value) > max_chars:
        raise InvalidClaimError(f"the claim {name!r} is longer than {max_chars} characters", claim=name)
    if not value.isprintable():  # T18: what we store and show must not forge lines or hide direction marks
        raise InvalidClaimError(f"the claim {name!r} holds unprintable characters", claim=name)


def _check_audience(claims: Mapping[str, object], audience: str, *, allow_multiple: bool) -> None:
    value = claims.get("aud")
    if value == audience:
        return
    if value is None or value in ("", []):
        raise MissingClaimError("the token has no 'aud' claim", claim="aud")
    audiences = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in audiences):
        raise InvalidClaimError("the claim 'aud' is neither a text nor a list of texts", claim="aud")
    if audience not in audiences or (len(audiences) > 1 and not allow_multiple):
        raise AudienceMismatchError(f"the token is not for {audience} alone", claim="aud")
