"""The door of an OCI registry: the token realm that the registry sends its clients to.

The password is the CI job's id token, or an access token that was exchanged for one here; clients need no change for
either. What comes out is signed as the distribution registry verifies it by itself: it asks nobody, so that a token is
good for its few minutes whatever happens meanwhile. Reference: distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyless.errors import (
    MalformedTokenError,
    NoMatchingPublisherError,
    ReplayedTokenError,
    RequestError,
    ResourceSyntaxError,
    TokenError,
    UnsupportedGrantError,
)
from keyless.jose.signing import SigningKey
from keyless.oidc.issuer import ReplayMode
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.secret import Secret
from keyless.server.doors.errors import ErrorProfile, answer_for, log_error, retry_headers
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.doors.package import PackageDoor, Routes
from keyless.server.services.token_request import (
    MAX_BODY_BYTES,
    MAX_SUBJECT_TOKEN_CHARS,
    TOKEN_EXCHANGE_GRANT,
    TokenRequest,
    parse_token_request,
)
from keyless.server.services.trail import Caller
from keyless.server.store.ids import new_jti
from keyless.verifier.access_token import PACKAGE_PREFIXES, VerifiedAccessToken

REALM: Final = "/oci/token"
REGISTRY_TOKEN_SECONDS: Final = 300  # the registry cannot hear of a revocation; a longer push asks again by itself
MAX_SCOPES: Final = 8  # a push that mounts layers of another repository has two
MAX_FIELDS: Final = 32
_SCOPE: Final = re.compile(r"repository(?:\([a-z0-9]+\))?:([^:]{1,255}):([a-z*,]{1,64})")
_NEEDED: Final = {"pull": "read", "push": "write"}  # a push may also create; whoever may write may push

_log = logging.getLogger("keyless.server")


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what a client asks the realm for."""

    service: str
    scopes: tuple[tuple[Resource, tuple[str, ...]], ...]
    password: str


class OCIDoor(PackageDoor):
    """Serve the token realm of an OCI registry."""

    type: ClassVar = ResourceType.OCI
    ttl_seconds: ClassVar = 900
    replay: ClassVar = ReplayMode.COUNTED  # one push asks the realm more than once, with the one password it was given

    @classmethod
    def audiences(cls, url: str) -> tuple[str, ...]:
        """Return the one audience: the registry's host, with its port."""
        return (f"oci:{urlsplit(url).netloc}",)

    @property
    def service(self) -> str:
        """Return the registry's name for itself: `auth.token.service` of its configuration."""
        return urlsplit(self.lent.url).netloc

    def routes(self) -> Routes:
        """Return the endpoint."""
        return {REALM: {"GET": self._get, "POST": self._post}}

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        caller = caller_of(scope)
        try:
            fields = _fields(scope["query_string"])
            answer = await self._answer(_asked(fields, _password(scope)), caller)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._refuse(send, error, caller.request_id)
            return
        await send_json(send, 200, answer, request_id=caller.request_id)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        try:
            fields = _fields(await read_body(scope, receive, max_bytes=MAX_BODY_BYTES))
            members = dict(fields)
            match members.get("grant_type"):
                case "password":
                    answer = await self._answer(_asked(fields, members.get("password", "")), caller)
                case grant if grant == TOKEN_EXCHANGE_GRANT:
                    answer = await self._exchange(members, caller)
                case _:  # a refresh token would turn a short job into a long secret (T107)
                    raise UnsupportedGrantError("the grant_types here are password and token exchange (RFC 8693)")
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._refuse(send, error, caller.request_id)
            return
        await send_json(send, 200, answer, request_id=caller.request_id)

    async def _exchange(self, members: dict[str, str], caller: Caller) -> dict[str, object]:
        """Give an access token that serves as a password here until it ends."""
        request = parse_token_request(members, public_url=self.lent.public_url)
        issued = await self.lent.exchange.exchange(request, caller, self.lent.terms)
        _log.info(
            "granted %s door=oci publisher=%s resource=%s", caller.request_id, issued.publisher_id, issued.resource
        )
        return {
            "access_token": issued.access_token.reveal(),
            "issued_token_type": issued.issued_token_type,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": issued.scope,
        }

    async def _answer(self, asked: Asked, caller: Caller) -> dict[str, object]:
        if asked.service != self.service:
            raise RequestError(f"this realm serves {self.service} and no other service")
        if not asked.password:
            raise MalformedTokenError("the password must be an id token of this CI job, or an access token")
        if asked.password.startswith(PACKAGE_PREFIXES[ResourceType.OCI]):
            token = await asyncio.to_thread(self.lent.live.check, asked.password, audience=self.lent.url)
            return self._sign(token.publisher_id, token.expires_at, _granted(asked, [token]))
        if not asked.scopes:  # `docker login`: is the password good at all? It is not spent.
            candidate = self.lent.verification.identify(asked.password)
            await self.lent.verification.prove(candidate, audiences=self.lent.terms.audiences)
            return self._sign("login", self._now() + REGISTRY_TOKEN_SECONDS, [])
        tokens, refused = [], None
        for resource, actions in asked.scopes:
            words = frozenset({"read"} if actions == ("pull",) else {"read", "write", "create"})
            request = TokenRequest(Secret(asked.password), resource, None, words)
            try:
                issued = await self.lent.exchange.exchange(request, caller, self.lent.terms)
            except NoMatchingPublisherError as error:
                refused = error  # a client may ask for more than it needs; what is granted is in the answer
                continue
            tokens.append(await self._verified(issued.access_token))
        if not tokens and refused is not None:
            raise refused
        _log.info("granted %s door=oci %s", caller.request_id, " ".join(str(token.resource) for token in tokens))
        ends = min(token.expires_at for token in tokens)
        return self._sign(tokens[0].publisher_id, ends, _granted(asked, tokens))

    async def _verified(self, token: Secret) -> VerifiedAccessToken:
        return await asyncio.to_thread(self.lent.live.check, token.reveal(), audience=self.lent.url)

    def _sign(self, subject: str, ends_at: int, access: Sequence[dict[str, object]]) -> dict[str, object]:
        now = self._now()
        seconds = min(REGISTRY_TOKEN_SECONDS, ends_at - now)
        key = self.lent.signing_key()
        claims = {
            "iss": self.lent.public_url,
            "sub": subject,
            "aud": self.service,
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "jti": new_jti(now),
            "access": list(access),
        }
        token = key.sign(claims, header={"typ": "JWT", "kid": registry_key_id(key)})
        return {"token": token, "access_token": token, "expires_in": seconds, "issued_at": _moment(now)}

    def _now(self) -> int:
        return int(self.lent.clock())

    async def _refuse(self, send: Send, error: Exception, request_id: str) -> None:
        answer = answer_for(error, ErrorProfile.HUGGINGFACE, audience=self.lent.terms.audiences[0])
        log_error(error, answer, request_id)
        # Of all refusals, clients show the text of a 401 only.
        status = 401 if isinstance(error, TokenError | NoMatchingPublisherError | ReplayedTokenError) else answer.status
        code = "UNAUTHORIZED" if status == 401 else "UNAVAILABLE" if status >= 500 else "UNSUPPORTED"
        await send_json(
            send,
            status,
            {
                "errors": [{"code": code, "message": answer.description}],
                "reason": answer.reason,
                "request_id": request_id,
            },
            request_id=request_id,
            headers=retry_headers(answer),
        )


def registry_key_id(key: SigningKey) -> str:
    """Return the name by which the distribution registry 2.x knows a key of its `rootcertbundle` (libtrust's form)."""
    der = key.material.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode("ascii")
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def _granted(asked: Asked, tokens: Sequence[VerifiedAccessToken]) -> list[dict[str, object]]:
    """Return what the tokens allow of what was asked.

    Raises:
        NoMatchingPublisherError: Nothing at all.
    """
    access: list[dict[str, object]] = []
    for resource, actions in asked.scopes:
        allowed = [a for a in actions if any(token.allows(_NEEDED[a], resource) for token in tokens)]
        if allowed:
            access.append({"type": "repository", "name": resource.name, "actions": allowed})
    if asked.scopes and not access:
        wanted = ", ".join(f"{','.join(actions)} {resource}" for resource, actions in asked.scopes)
        raise NoMatchingPublisherError(f"the token is good for {tokens[0].resource}, and not to {wanted}")
    return access


def _fields(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise RequestError(f"the request is not a form of at most {MAX_FIELDS} parameters in UTF-8") from None


def _asked(fields: Sequence[tuple[str, str]], password: str) -> Asked:
    services = {value for name, value in fields if name == "service"}
    if len(services) != 1:
        raise RequestError("the parameter service must be there once")
    if len(password) > MAX_SUBJECT_TOKEN_CHARS:
        raise RequestError(f"the password is longer than {MAX_SUBJECT_TOKEN_CHARS} characters")
    words = [word for name, value in fields if name == "scope" for word in value.split(" ") if word]
    if len(words) > MAX_SCOPES:
        raise RequestError(f"more than {MAX_SCOPES} scopes")
    scopes: dict[Resource, tuple[str, ...]] = {}
    for word in words:
        match = _SCOPE.fullmatch(word)
        if match is None:
            continue  # the catalogue, plugins: nobody is given more than repositories
        try:
            resource = parse_resource(f"{ResourceType.OCI}/{match[1]}")
        except ResourceSyntaxError:
            raise RequestError("a scope names no repository") from None
        wanted = set(_NEEDED) if "*" in match[2].split(",") else set(match[2].split(",")) & _NEEDED.keys()
        actions = sorted(wanted | set(scopes.get(resource, ())))
        if actions:
            scopes[resource] = tuple(actions)
    if words and not scopes:
        raise RequestError("no scope asks to pull from or to push to a repository")
    return Asked(services.pop(), tuple(scopes.items()), password)


def _password(scope: Scope) -> str:
    scheme, _, encoded = header(scope, b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise RequestError("the Authorization header is not Basic with a user and a password") from None


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DOOR: Final = OCIDoor
