"""Our access token: what is in it, and what proves it (D5, D6; RFC 9068 profile, RFC 8725).

One token has exactly one spelling: a known prefix, canonical base64url, and the low `s` of its ECDSA signature. So a
list of spellings can neither be escaped nor grow. Pure: keys and time are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, replace
from typing import Final

from keyless.errors import (
    AudienceMismatchError,
    ExpiredTokenError,
    ImmatureTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    MalformedTokenError,
    ResourceSyntaxError,
    UnknownKeyError,
)
from keyless.jose.algorithms import has_low_s, verify_signature
from keyless.jose.claims import numeric_date, require_text
from keyless.jose.compact import CompactJws, parse_compact
from keyless.jose.json import parse_json_object
from keyless.jose.jwk import KeySet
from keyless.oidc.id_token import check_header
from keyless.resource import Resource, ResourceType, parse_resource

ACCESS_TOKEN_TYP: Final = "at+jwt"  # RFC 9068 section 2.1: an id token can never pass for one (T17)
ACCESS_TOKEN_ALGORITHM: Final = "ES256"
SUBJECT_PREFIX: Final = "urn:keyless:publisher:"
PACKAGE_PREFIXES: Final = {  # what a registry's own tools look for, then ours
    ResourceType.PYPI: "pypi-kl_",
    ResourceType.NPM: "npm_kl_",
    ResourceType.OCI: "oci_kl_",
}
# D6: the default, the Hub's for repositories and accounts, and those of package registries
PREFIXES: Final = ("kl_", "hf_jwt_", "hf_oauth_", *PACKAGE_PREFIXES.values())
OPERATIONS: Final = frozenset({"read", "write", "create"})
MAX_ACCESS_TOKEN_CHARS: Final = 8 * 1024
MAX_LIFETIME_SECONDS: Final = 3600  # D7: never above, so a longer one was not issued by our rules
CLOCK_SKEW_SECONDS: Final = 60  # for `iat` only: a resource server's clock may be behind ours; expiry has no grace

_MADE_HERE: Final = object()
_TYPES: Final = frozenset({ACCESS_TOKEN_TYP})


@dataclass(frozen=True, slots=True)
class VerifiedAccessToken:
    """Hold an access token whose signature, issuer, audience and time are proven.

    Only `verify_access_token` makes one. That it has not been revoked since is not proven here; a `Verifier` asks.
    Times are Unix seconds. `resource` is the one target the token is good for, `operations` what it may do there, and
    `ci_issuer` with `ci_subject` the CI job it was issued to. `also` is empty but for the packages that a registry's
    tool publishes with one token and cannot name beforehand.
    """

    publisher_id: str
    resource: Resource
    operations: frozenset[str]
    subject: str
    issuer: str
    audience: str
    jti: str
    issued_at: int
    expires_at: int
    ci_issuer: str
    ci_subject: str
    kid: str
    also: frozenset[Resource]
    _made_here: InitVar[object]  # not a field, so `dataclasses.replace` cannot pass it on to a wider copy

    def __post_init__(self, _made_here: object) -> None:
        if _made_here is not _MADE_HERE:
            raise TypeError("only keyless.verifier.access_token.verify_access_token makes a VerifiedAccessToken")

    def allows(self, operation: str, resource: Resource) -> bool:
        """Tell whether the token is good for this operation on this resource."""
        return operation in self.operations and (resource == self.resource or resource in self.also)

    def narrowed_to(self, operations: Iterable[str]) -> VerifiedAccessToken:
        """Return the same token with no other operations than these; it never gains one."""
        return replace(self, operations=self.operations.intersection(operations), _made_here=_MADE_HERE)


def access_token_claims(
    *,
    issuer: str,
    audience: str,
    publisher_id: str,
    jti: str,
    issued_at: int,
    expires_at: int,
    resource: Resource,
    operations: Iterable[str],
    ci_issuer: str,
    ci_subject: str,
    prefix: str,
    also: Sequence[Resource] = (),
) -> dict[str, object]:
    """Return the claims of an access token; the service signs them and `verify_access_token` reads them.

    `prefix` is what the service will put before the token. It is signed too, so no other can stand there: where two
    prefixes are in use, one token would otherwise have two spellings (D6).
    """
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": audience,
        "sub": SUBJECT_PREFIX + publisher_id,
        "client_id": publisher_id,
        "jti": jti,
        "iat": issued_at,
        "exp": expires_at,
        "resource": str(resource),
        "scope": " ".join(operations),
        "ci_iss": ci_issuer,
        "ci_sub": ci_subject,
        "prefix": prefix,
    }
    if also:
        claims["also"] = [str(resource) for resource in also]
    return claims


def _read_unverified(token: str, prefixes: Sequence[str]) -> tuple[str, CompactJws, str, str]:
    if len(token) > MAX_ACCESS_TOKEN_CHARS:
        raise MalformedTokenError(f"the token is longer than {MAX_ACCESS_TOKEN_CHARS} characters")
    prefix = next((prefix for prefix in prefixes if token.startswith(prefix)), None)
    if prefix is None:
        raise MalformedTokenError("the token has none of the prefixes in use")
    jws = parse_compact(token[len(prefix) :], max_chars=MAX_ACCESS_TOKEN_CHARS)
    return prefix, jws, *check_header(jws.unverified_header, types=_TYPES)


def unverified_key_id(token: str, prefixes: Sequence[str] = PREFIXES) -> str:
    """Return the `kid` that a token names, to look the key up; nothing is proven.

    Raises:
        MalformedTokenError: The token has not the shape of an access token.
    """
    return _read_unverified(token, prefixes)[3]


def verify_access_token(
    token: str, *, keys: KeySet, issuer: str, audience: str | None, prefixes: Sequence[str], now: float
) -> VerifiedAccessToken:
    """Prove an access token's origin, audience and time.

    Args:
        token: As presented, prefix included.
        keys: The issuing service's published keys.
        issuer: The service's public URL.
        audience: The resource server's own audience, or `None` when any will do: at the service itself.
        prefixes: The prefixes that may stand before the token.
        now: Unix seconds.

    Raises:
        UnknownKeyError: The key set has no such key; with a cached set, fetch it anew before giving up.
        TokenError: The token is not acceptable; subclasses say why.
    """
    prefix, jws, algorithm, kid = _read_unverified(token, prefixes)
    if algorithm != ACCESS_TOKEN_ALGORITHM or jws.unverified_header.get("typ") != ACCESS_TOKEN_TYP:
        raise InvalidSignatureError(f"an access token is signed with {ACCESS_TOKEN_ALGORITHM}")
    if not has_low_s(jws.signature):
        raise InvalidSignatureError("the signature is not in its one accepted form")
    if not keys.find(kid):
        raise UnknownKeyError("the token's key is not among the service's keys")
    fitting = keys.find(kid, algorithm)
    if not fitting:
        raise InvalidSignatureError("the token's key does not fit its algorithm")
    verify_signature(algorithm, fitting[0].material, jws.signing_input, jws.signature)

    claims = parse_json_object(jws.unverified_payload)
    if claims.get("iss") != issuer:
        raise InvalidClaimError("the token was issued by another service", claim="iss")
    if claims.get("prefix") != prefix:
        raise InvalidClaimError("the token stands behind another prefix than it was issued with", claim="prefix")
    token_audience = require_text(claims, "aud")
    if audience is not None and token_audience != audience:
        raise AudienceMismatchError("the token is meant for another resource server", claim="aud")
    issued_at, expires_at = _check_lifetime(claims, now)
    try:
        resource = parse_resource(require_text(claims, "resource"))
    except ResourceSyntaxError:
        raise InvalidClaimError("the token's resource is not one", claim="resource") from None
    operations = frozenset(require_text(claims, "scope").split(" "))
    if not operations <= OPERATIONS:
        raise InvalidClaimError("the token's scope holds an unknown word", claim="scope")
    publisher_id = require_text(claims, "client_id")
    subject = require_text(claims, "sub")
    if subject != SUBJECT_PREFIX + publisher_id:
        raise InvalidClaimError("the token's subject is not its publisher", claim="sub")
    return VerifiedAccessToken(
        publisher_id=publisher_id,
        resource=resource,
        operations=operations,
        subject=subject,
        issuer=issuer,
        audience=token_audience,
        jti=require_text(claims, "jti"),
        issued_at=issued_at,
        expires_at=expires_at,
        ci_issuer=require_text(claims, "ci_iss"),
        ci_subject=require_text(claims, "ci_sub"),
        kid=kid,
        also=_read_also(claims),
        _made_here=_MADE_HERE,
    )


def _read_also(claims: Mapping[str, object]) -> frozenset[Resource]:
    paths = claims.get("also", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InvalidClaimError("the claim 'also' is not a list of resources", claim="also")
    try:
        return frozenset(parse_resource(path) for path in paths)
    except ResourceSyntaxError:
        raise InvalidClaimError("the claim 'also' is not a list of resources", claim="also") from None


def _check_lifetime(claims: Mapping[str, object], now: float) -> tuple[int, int]:
    issued_at, expires_at = numeric_date(claims, "iat", required=True), numeric_date(claims, "exp", required=True)
    if not isinstance(issued_at, int) or not isinstance(expires_at, int):
        raise InvalidClaimError("the token's times are not whole seconds", claim="exp")
    if not 0 < expires_at - issued_at <= MAX_LIFETIME_SECONDS:
        raise InvalidClaimError(f"the token's lifetime is not 1-{MAX_LIFETIME_SECONDS} s", claim="exp")
    if now >= expires_at:
        raise ExpiredTokenError(f"the token expired {now - expires_at:.0f} s ago", claim="exp")
    if issued_at > now + CLOCK_SKEW_SECONDS:
        raise ImmatureTokenError("the token was issued in the future", claim="iat")
    return issued_at, expires_at
