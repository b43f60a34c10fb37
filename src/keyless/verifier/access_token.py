"""Our access token: what is in it, and what proves it (D5, D6; RFC 9068 profile, RFC 8725).

One token has exactly one spelling: a known prefix, canonical base64url, and the low `s` of its ECDSA signature. So a
list of spellings can neither be escaped nor grow. Pure: keys and time are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Self, TypeAlias

from keyless.errors import (
    AudienceMismatchError,
    ClaimError,
    ExpiredTokenError,
    ImmatureTokenError,
    InvalidClaimError,
    InvalidSignatureError,
    MalformedTokenError,
    ResourceSyntaxError,
    UnknownKeyError,
)
from keyless.jose.algorithms import verify_es256_low_s
from keyless.jose.claims import numeric_date, require_text
from keyless.jose.compact import b64url_decode
from keyless.jose.json import parse_json_object
from keyless.jose.jwk import KeySet
from keyless.jose.proven import MadeByProof
from keyless.oidc.id_token import check_header
from keyless.resource import Resource, ResourceType, parse_resource

ACCESS_TOKEN_TYP: Final = "at+jwt"  # RFC 9068 section 2.1: an id token can never pass for one (T17)
ACCESS_TOKEN_ALGORITHM: Final = "ES256"
SUBJECT_PREFIX: Final = "urn:keyless:publisher:"
PACKAGE_PREFIXES: Final = {  # what a registry's own tools look for, then ours
    ResourceType.PYPI: "pypi-kl_",
    ResourceType.NPM: "npm_kl_",
    ResourceType.OCI: "oci_kl_",
    ResourceType.CARGO: "cio_tp_kl_",
    ResourceType.GEM: "rubygems_kl_",
}
# D6: the default, the Hub's for repositories and accounts, and those of package registries
PREFIXES: Final = ("kl_", "hf_jwt_", "hf_oauth_", *PACKAGE_PREFIXES.values())
OPERATIONS: Final = frozenset({"read", "write", "create"})
MAX_ACCESS_TOKEN_CHARS: Final = 8 * 1024
MAX_LIFETIME_SECONDS: Final = 3600  # D7: never above, so a longer one was not issued by our rules
CLOCK_SKEW_SECONDS: Final = 60  # for `iat` only: a resource server's clock may be behind ours; expiry has no grace

_TYPES: Final = frozenset({ACCESS_TOKEN_TYP})


class _Proven(NamedTuple):
    publisher_id: str
    resource: Resource
    operations: frozenset[str]
    issuer: str
    audience: str
    jti: str
    issued_at: int
    expires_at: int
    ci_issuer: str
    ci_subject: str
    kid: str
    also: frozenset[Resource]
    also_publishers: frozenset[str]


class VerifiedAccessToken(MadeByProof, _Proven):  # type: ignore[misc]  # the tuple's ways of making one are gone
    """Hold an access token whose signature, issuer, audience and time are proven.

    Only `verify_access_token` makes one. That it has not been revoked since is not proven here; a `Verifier` asks.
    Times are Unix seconds. `resource` is the one target the token is good for, `operations` what it may do there, and
    `ci_issuer` with `ci_subject` the CI job it was issued to. `also` is empty but for the packages that a registry's
    tool publishes with one token and cannot name beforehand; `also_publishers` are those of the packages.
    """

    __slots__ = ()
    maker = "keyless.verifier.access_token.verify_access_token"

    def __copy__(self) -> Self:
        """Return the same object: it cannot change."""
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        """Return the same object: it cannot change."""
        return self

    @property
    def subject(self) -> str:
        """Return the `sub` claim: the publisher as a URN."""
        return SUBJECT_PREFIX + self.publisher_id

    def allows(self, operation: str, resource: Resource) -> bool:
        """Tell whether the token is good for this operation on this resource."""
        return operation in self.operations and (resource == self.resource or resource in self.also)

    def narrowed_to(self, operations: Iterable[str]) -> VerifiedAccessToken:
        """Return the same token with no other operations than these; it never gains one."""
        publisher_id, resource, held, *rest = self
        return tuple.__new__(VerifiedAccessToken, (publisher_id, resource, held.intersection(operations), *rest))


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
    also: Sequence[tuple[Resource, str]] = (),
) -> dict[str, object]:
    """Return the claims of an access token; the service signs them and `verify_access_token` reads them.

    `prefix` is what the service will put before the token. It is signed too, so no other can stand there: where two
    prefixes are in use, one token would otherwise have two spellings (D6). `also` are further packages, each with the
    id of its publisher.
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
        claims["also"] = [str(resource) for resource, _ in also]
        claims["also_by"] = [publisher_id for _, publisher_id in also]
    return claims


class UnverifiedAccessToken(NamedTuple):
    """Hold the parts of an access token that nobody has proven yet."""

    prefix: str
    kid: str
    payload: bytes
    signing_input: bytes
    signature: bytes


@lru_cache(maxsize=64)
def _read_header(segment: bytes) -> str:
    """Return the `kid` of a header that is an access token's; the tokens of one key share theirs to the byte."""
    header = parse_json_object(b64url_decode(segment))
    algorithm, kid = check_header(header, types=_TYPES)
    if algorithm != ACCESS_TOKEN_ALGORITHM or header.get("typ") != ACCESS_TOKEN_TYP:
        raise InvalidSignatureError(f"an access token is signed with {ACCESS_TOKEN_ALGORITHM}")
    return kid


def read_access_token(token: str, prefixes: Sequence[str] = PREFIXES) -> UnverifiedAccessToken:
    """Take a token apart and find which key it names, to look that up; nothing is proven.

    Raises:
        MalformedTokenError: It has not the one spelling of an access token.
        InvalidSignatureError: It is signed in another way than ours.
    """
    if len(token) > MAX_ACCESS_TOKEN_CHARS:
        raise MalformedTokenError(f"the token is longer than {MAX_ACCESS_TOKEN_CHARS} characters")
    for prefix in prefixes:
        if token.startswith(prefix):
            break
    else:
        raise MalformedTokenError("the token has none of the prefixes in use")
    if not token.isascii():
        raise MalformedTokenError("the token is not ASCII")
    body = token[len(prefix) :].encode()
    segments = body.split(b".", 3)
    if len(segments) != 3 or b"" in segments:
        raise MalformedTokenError("a signed token has exactly three segments, and none is empty")
    header, payload, signature = segments
    kid = _read_header(header)
    parts = (prefix, kid, b64url_decode(payload), body[: -1 - len(signature)], b64url_decode(signature))
    return tuple.__new__(UnverifiedAccessToken, parts)


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
    return prove_access_token(read_access_token(token, prefixes), keys=keys, issuer=issuer, audience=audience, now=now)


def prove_access_token(
    token: UnverifiedAccessToken, *, keys: KeySet, issuer: str, audience: str | None, now: float
) -> VerifiedAccessToken:
    """Prove what `read_access_token` took apart; see `verify_access_token`."""
    prefix, kid, payload, signing_input, signature = token
    fitting = keys.find(kid, ACCESS_TOKEN_ALGORITHM)
    if not fitting:
        if kid in keys:
            raise InvalidSignatureError("the token's key does not fit its algorithm")
        raise UnknownKeyError("the token's key is not among the service's keys")
    verify_es256_low_s(fitting[0].material, signing_input, signature)

    (
        token_issuer, token_audience, publisher_id, jti, issued_at, expires_at, path, scope, ci_issuer, ci_subject,
        token_prefix, also, also_publishers,
    ) = _read_claims(payload)  # fmt: skip
    if token_issuer != issuer:
        raise InvalidClaimError("the token was issued by another service", claim="iss")
    if token_prefix != prefix:
        raise InvalidClaimError("the token stands behind another prefix than it was issued with", claim="prefix")
    if audience is not None and token_audience != audience:
        raise AudienceMismatchError("the token is meant for another resource server", claim="aud")
    if (
        not 0 < expires_at - issued_at <= MAX_LIFETIME_SECONDS
        or now >= expires_at
        or issued_at > now + CLOCK_SKEW_SECONDS
    ):
        raise _wrong_time(issued_at, expires_at, now)
    try:
        resource = _parse_resource(path)
    except ResourceSyntaxError:
        raise InvalidClaimError("the token's resource is not one", claim="resource") from None
    operations = _parse_scope(scope)
    fields = (
        publisher_id, resource, operations, issuer, token_audience, jti, issued_at,
        expires_at, ci_issuer, ci_subject, kid, also, also_publishers,
    )  # fmt: skip
    return tuple.__new__(VerifiedAccessToken, fields)


_TEXT: Final = r"[ !#-\[\]-~]+"  # visible ASCII that JSON writes as it is
_SECONDS: Final = r"(0|[1-9][0-9]{0,11})"
# A payload as `access_token_claims` is written down when no text of it needs an escape. What is not so is read as JSON;
# what is, means the same as JSON, and is read in a third of the time: a resource server does it for every new token.
_WRITTEN: Final = re.compile(
    rf'\{{"iss":"({_TEXT})","aud":"({_TEXT})","sub":"{SUBJECT_PREFIX}(?P<id>{_TEXT})","client_id":"(?P=id)",'
    rf'"jti":"({_TEXT})","iat":{_SECONDS},"exp":{_SECONDS},"resource":"({_TEXT})","scope":"({_TEXT})",'
    rf'"ci_iss":"({_TEXT})","ci_sub":"({_TEXT})","prefix":"({_TEXT})"\}}'
).fullmatch
# iss, aud, client_id, jti, iat, exp, resource, scope, ci_iss, ci_sub, prefix, also, also_by
_Claims: TypeAlias = tuple[str, str, str, str, int, int, str, str, str, str, str, frozenset[Resource], frozenset[str]]


def _read_claims(payload: bytes) -> _Claims:
    if (match := _WRITTEN(payload.decode("latin-1"))) is None:
        return _read_json_claims(payload)
    iss, aud, client_id, jti, iat, exp, resource, scope, ci_iss, ci_sub, prefix = match.groups()
    return iss, aud, client_id, jti, int(iat), int(exp), resource, scope, ci_iss, ci_sub, prefix, _NONE, _NOBODY


def _read_json_claims(payload: bytes) -> _Claims:
    claims = parse_json_object(payload)
    iss, aud, client_id, jti, resource, scope, ci_iss, ci_sub, prefix = (
        require_text(claims, name)
        for name in ("iss", "aud", "client_id", "jti", "resource", "scope", "ci_iss", "ci_sub", "prefix")
    )
    if require_text(claims, "sub") != SUBJECT_PREFIX + client_id:
        raise InvalidClaimError("the token's subject is not its publisher", claim="sub")
    iat, exp = numeric_date(claims, "iat", required=True), numeric_date(claims, "exp", required=True)
    if not isinstance(iat, int) or not isinstance(exp, int):
        raise InvalidClaimError("the token's times are not whole seconds", claim="exp")
    also, also_by = _read_also(claims)
    return iss, aud, client_id, jti, iat, exp, resource, scope, ci_iss, ci_sub, prefix, also, also_by


# The texts are signed by the service, so there are no more of them than it has resources.
_parse_resource: Final = lru_cache(maxsize=1024)(parse_resource)
_NONE: Final[frozenset[Resource]] = frozenset()
_NOBODY: Final[frozenset[str]] = frozenset()


@lru_cache(maxsize=64)
def _parse_scope(text: str) -> frozenset[str]:
    operations = frozenset(text.split(" "))
    if not operations <= OPERATIONS:
        raise InvalidClaimError("the token's scope holds an unknown word", claim="scope")
    return operations


def _read_also(claims: Mapping[str, object]) -> tuple[frozenset[Resource], frozenset[str]]:
    paths, publishers = claims.get("also", []), claims.get("also_by", [])
    if (
        not isinstance(paths, list)
        or not isinstance(publishers, list)
        or len(paths) != len(publishers)
        or not all(isinstance(text, str) and text for text in (*paths, *publishers))
    ):
        raise InvalidClaimError("the claim 'also' is not a list of resources with their publishers", claim="also")
    try:
        return frozenset(parse_resource(path) for path in paths), frozenset(publishers)
    except ResourceSyntaxError:
        raise InvalidClaimError("the claim 'also' is not a list of resources", claim="also") from None


def _wrong_time(issued_at: int, expires_at: int, now: float) -> ClaimError:
    if not 0 < expires_at - issued_at <= MAX_LIFETIME_SECONDS:
        return InvalidClaimError(f"the token's lifetime is not 1-{MAX_LIFETIME_SECONDS} s", claim="exp")
    if now >= expires_at:
        return ExpiredTokenError(f"the token expired {now - expires_at:.0f} s ago", claim="exp")
    return ImmatureTokenError("the token was issued in the future", claim="iat")
