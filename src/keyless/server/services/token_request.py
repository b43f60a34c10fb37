"""The token request: RFC 8693 section 2.1, read from a form or from JSON (V01). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from keyless.errors import MalformedTokenError, RequestError, ResourceSyntaxError, UnsupportedGrantError
from keyless.jose.json import parse_json_object
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.secret import Secret

MAX_BODY_BYTES: Final = 64 * 1024  # V01
MAX_SUBJECT_TOKEN_CHARS: Final = 32 * 1024  # V01
MAX_FIELDS: Final = 64
_MAX_WORD_BYTES: Final = 128  # of what is remembered; no token is so short

_PUBLISHER_ID: Final = re.compile("[A-Za-z0-9_-]{1,40}")
TOKEN_EXCHANGE_GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # RFC 8693 section 2.1
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # RFC 8693 section 3
SUBJECT_TOKEN_TYPES: Final = frozenset(
    {"urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"}
)
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


class TokenRequest(NamedTuple):
    """Hold a well-formed request: what is presented, and for which target.

    `resource` is the target; when the caller named a publisher instead (D22), `publisher_id` is set and `resource` is
    `None`. `resource_type` alone is set where a protocol cannot name its target: the token is then for every package of
    that type which trusts the job on the same terms. `scope` holds the words asked for, empty when none were.
    """

    subject_token: Secret
    resource: Resource | None
    publisher_id: str | None
    scope: frozenset[str]
    resource_type: ResourceType | None = None


def parse_form(body: bytes) -> dict[str, str]:
    """Read `application/x-www-form-urlencoded` members; a repeated one is refused, an empty one is absent.

    Raises:
        RequestError: Too many members, a repeated one, or bytes that are not UTF-8.
    """
    members: dict[str, str] = {}
    if body.count(b"&") >= MAX_FIELDS:
        raise RequestError(f"the request has more than {MAX_FIELDS} parameters")
    for pair in body.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        try:
            name, value = _decode(raw_name), _decode(raw_value)
        except UnicodeDecodeError:
            raise RequestError("a parameter is not UTF-8") from None
        if not name:
            continue
        if name in members:
            raise RequestError(f"the parameter {printable(name)} is repeated")
        members[name] = value
    return members


def _decode(raw: bytes) -> str:
    # A JWT has nothing to decode, and it is most of the body; the rest is the same words again and again.
    return (_decode_word if len(raw) <= _MAX_WORD_BYTES else _decode_word.__wrapped__)(raw)


@lru_cache(maxsize=1024)
def _decode_word(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8")


def parse_json_members(body: bytes) -> dict[str, str]:
    """Read a JSON object's text members; members of other types are kept out unless we know their names.

    Raises:
        RequestError: Not one JSON object, a repeated name, or a known parameter that is not a text.
    """
    try:
        members = parse_json_object(body)
    except MalformedTokenError as error:
        raise RequestError(f"the body is not acceptable JSON: {error}") from None
    for name in _KNOWN & members.keys():
        if members[name] is not None and not isinstance(members[name], str):
            raise RequestError(f"the parameter {name} is not a text")
    return {name: value for name, value in members.items() if isinstance(value, str)}


_KNOWN: Final = frozenset(
    {
        "grant_type",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "resource",
        "audience",
        "scope",
        "client_id",
        "identity_provider_id",
        "actor_token",
        "actor_token_type",
    }
)


def read_members(content_type: str, body: bytes) -> dict[str, str]:
    """Read the body in either encoding that clients use.

    Raises:
        RequestError: Another content type, or a body that does not parse.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == FORM:
        return parse_form(body)
    if media_type == JSON:
        return parse_json_members(body)
    raise RequestError(f"the content type must be {FORM} or {JSON}")


def parse_token_request(members: Mapping[str, str], *, public_url: str) -> TokenRequest:
    """Read a token exchange request (RFC 8693 section 2.1). Unknown parameters are ignored, empty ones are absent.

    Args:
        members: The body's parameters.
        public_url: Our own URL; resources below it are accepted as URIs (D22).

    Raises:
        UnsupportedGrantError: Another grant than token exchange.
        RequestError: A parameter is missing, or its value cannot be served; the message names it.
    """
    grant_type = members.get("grant_type")
    if not grant_type:
        raise RequestError("the parameter grant_type is missing")
    if grant_type != TOKEN_EXCHANGE_GRANT:
        raise UnsupportedGrantError(f"the only grant_type here is {TOKEN_EXCHANGE_GRANT}")
    subject_token_type = members.get("subject_token_type")
    if not subject_token_type:
        raise RequestError("the parameter subject_token_type is missing")
    if subject_token_type not in SUBJECT_TOKEN_TYPES:
        raise RequestError(f"the parameter subject_token_type must be {' or '.join(sorted(SUBJECT_TOKEN_TYPES))}")
    subject_token = members.get("subject_token")
    if not subject_token:
        raise RequestError("the parameter subject_token is missing")
    if len(subject_token) > MAX_SUBJECT_TOKEN_CHARS:
        raise RequestError(f"the subject_token is longer than {MAX_SUBJECT_TOKEN_CHARS} characters")
    if members.get("requested_token_type") not in (None, "", ACCESS_TOKEN_TYPE):
        raise RequestError(f"the only requested_token_type here is {ACCESS_TOKEN_TYPE}")
    if members.get("actor_token"):
        raise RequestError("the parameter actor_token is not supported: nothing here acts for another (T100)")
    resource, publisher_id = _select_target(members, public_url)
    scope = frozenset(members.get("scope", "").split(" ")) - {""} if members.get("scope") else _NO_SCOPE
    return TokenRequest(Secret(subject_token), resource, publisher_id, scope)


_NO_SCOPE: Final[frozenset[str]] = frozenset()
_parse_resource: Final = lru_cache(maxsize=1024)(parse_resource)  # bounds: 255 characters each, errors not kept


def _select_target(members: Mapping[str, str], public_url: str) -> tuple[Resource | None, str | None]:
    """Choose the target: `resource`, else an `audience` that is one, else a named publisher (D22, T90)."""
    if resource := members.get("resource"):
        try:
            return _parse_resource(resource, base_url=public_url), None
        except ResourceSyntaxError as error:
            raise RequestError(f"the parameter resource cannot be served: {error}") from None
    # One word alone is rather another service's audience than a user's name; users have `resource`, or `users/NAME`.
    if (audience := members.get("audience")) and "/" in audience:
        try:
            return parse_resource(audience, base_url=public_url), None
        except ResourceSyntaxError:
            pass  # another service's idea of an audience; a later parameter may still name the target
    for name in ("client_id", "identity_provider_id"):
        if publisher_id := members.get(name):
            # What cannot be an id is not repeated in an answer or a log: some clients put a token here by mistake.
            if not _PUBLISHER_ID.fullmatch(publisher_id):
                raise RequestError(f"the parameter {name} names no publisher: give its id, pub_ and twenty characters")
            return None, publisher_id
    raise RequestError("the parameter resource is missing: name the repository or user the token is for")


def printable(text: str, *, limit: int = 80) -> str:
    """Return caller's text as it may stand in an `error_description`: RFC 6749 section 5.2 allows few characters."""
    kept = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text[:limit])
    return f"'{kept}{'...' if len(text) > limit else ''}'"
