"""The door of an npm-like registry: the exchange that npm, pnpm and yarn call before they publish.

They disagree on two details, so both forms of each are served: the exchange at the host's root or below the registry's
path, the audience with or without the port. A refusal carries its text twice: npm reads `message`, pnpm `body.message`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import ClassVar, Final
from urllib.parse import urlsplit

from keyless.errors import (
    NoMatchingPublisherError,
    ReplayedTokenError,
    RequestError,
    ResourceSyntaxError,
    TokenError,
)
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.secret import Secret
from keyless.server.doors.errors import ErrorProfile, answer_for, log_error, retry_headers
from keyless.server.doors.http import Door, Receive, Scope, Send, caller_of, header, send_json
from keyless.server.doors.package import PackageDoor, Routes
from keyless.server.services.token_request import MAX_SUBJECT_TOKEN_CHARS, TokenRequest, printable

EXCHANGE: Final = "/-/npm/v1/oidc/token/exchange/package/"
VISIBILITY: Final = "/-/package/"

_log = logging.getLogger("keyless.server")


class NpmDoor(PackageDoor):
    """Serve the calls of an npm-like registry's trusted publishing."""

    type: ClassVar = ResourceType.NPM
    ttl_seconds: ClassVar = 900

    @classmethod
    def audiences(cls, url: str) -> tuple[str, ...]:
        """Return what npm and pnpm ask the CI for, then what yarn does when the registry has a port."""
        parts = urlsplit(url)
        return tuple(dict.fromkeys((f"npm:{parts.hostname}", f"npm:{parts.netloc}")))

    def routes(self) -> Routes:
        """Return the endpoints, at the host's root and below the registry's path."""
        found: dict[str, dict[str, Door]] = {}
        for base in {"", urlsplit(self.lent.url).path}:
            found[f"{base}{EXCHANGE}*"] = {"POST": self._exchange}
            found[f"{base}{VISIBILITY}*"] = {"GET": self._visibility}
        return found

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive  # no tool sends a body
        caller = caller_of(scope)
        try:
            resource = _package(scope["path"].partition(EXCHANGE)[2])
            request = TokenRequest(_bearer(scope), resource, None, frozenset())
            issued = await self.lent.exchange.exchange(request, caller, self.lent.terms)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._refuse(send, error, caller.request_id)
            return
        _log.info("granted %s door=npm publisher=%s resource=%s", caller.request_id, issued.publisher_id, resource)
        await send_json(
            send,
            201,
            {
                "token": issued.access_token.reveal(),
                "token_type": "oidc",
                "created": _moment(issued.expires_at - issued.expires_in),
                "expires": _moment(issued.expires_at),
            },
            request_id=caller.request_id,
        )

    async def _visibility(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        request_id = caller_of(scope).request_id
        if not scope["path"].endswith("/visibility"):
            await send_json(send, 404, {"message": "there is nothing at this path"}, request_id=request_id)
            return
        # Of no package, known or not, is it told that it is public: npm would go to a public service for provenance.
        await send_json(send, 200, {"public": False}, request_id=request_id)

    async def _refuse(self, send: Send, error: Exception, request_id: str) -> None:
        answer = answer_for(error, ErrorProfile.HUGGINGFACE, audience=self.lent.terms.audiences[0])
        log_error(error, answer, request_id)
        await send_json(
            send,
            answer.status if answer.status != 400 else _status(error),
            {
                "message": answer.description,
                "body": {"message": answer.description},
                "reason": answer.reason,
                "request_id": request_id,
            },
            request_id=request_id,
            headers=retry_headers(answer),
        )


def _status(error: Exception) -> int:
    match error:
        case NoMatchingPublisherError():
            return 404
        case ReplayedTokenError():
            return 409
        case TokenError():
            return 401
        case _:
            return 400


def _package(name: str) -> Resource:
    try:
        return parse_resource(f"{ResourceType.NPM}/{name}")
    except ResourceSyntaxError:
        raise RequestError(f"{printable(name)} is not the name of a package") from None


def _bearer(scope: Scope) -> Secret:
    scheme, _, token = header(scope, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not 1 <= len(token) <= MAX_SUBJECT_TOKEN_CHARS:
        raise RequestError("the id token must stand in the Authorization header as a Bearer token")
    return Secret(token)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DOOR: Final = NpmDoor
