"""The door of a crates.io-like registry: the token call of its login action, and the one that hands the token back.

The call names no crate: one token covers every crate whose publisher trusts the job on the same terms, and lists them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import ClassVar, Final

from keyless.errors import RequestError
from keyless.resource import ResourceType
from keyless.secret import Secret
from keyless.server.doors.errors import ErrorProfile, answer_for, log_error, retry_headers
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.doors.package import PackageDoor, Routes
from keyless.server.services.token_request import (
    MAX_BODY_BYTES,
    MAX_SUBJECT_TOKEN_CHARS,
    TokenRequest,
    parse_json_members,
)

TOKENS: Final = "/api/v1/trusted_publishing/tokens"

_log = logging.getLogger("keyless.server")


class CargoDoor(PackageDoor):
    """Serve the calls of a crates.io-like registry's trusted publishing."""

    type: ClassVar = ResourceType.CARGO
    ttl_seconds: ClassVar = 1800

    @classmethod
    def audiences(cls, url: str) -> tuple[str, ...]:
        """Return the registry's URL without its scheme, as the login action asks for it."""
        return (url.partition("://")[2],)

    def routes(self) -> Routes:
        """Return the endpoint."""
        return {TOKENS: {"POST": self._exchange, "DELETE": self._revoke}}

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        try:
            token = parse_json_members(await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)).get("jwt")
            if not token or len(token) > MAX_SUBJECT_TOKEN_CHARS:
                raise RequestError("the body must be a JSON object with the id token as its jwt")
            request = TokenRequest(Secret(token), None, None, frozenset(), ResourceType.CARGO)
            issued = await self.lent.exchange.exchange(request, caller, self.lent.terms)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._refuse(send, error, caller.request_id)
            return
        _log.info(
            "granted %s door=cargo publisher=%s resource=%s also=%d",
            caller.request_id,
            issued.publisher_id,
            issued.resource,
            issued.also,
        )
        await send_json(send, 200, {"token": issued.access_token.reveal()}, request_id=caller.request_id)

    async def _revoke(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        request_id = caller_of(scope).request_id
        scheme, _, token = header(scope, b"authorization").partition(" ")
        try:
            if scheme.lower() != "bearer" or not token:
                raise RequestError("the token must stand in the Authorization header as a Bearer token")
            await asyncio.to_thread(self.lent.live.revoke, token, request_id=request_id, audience=self.lent.url)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._refuse(send, error, request_id)
            return
        # Whether or not it was one of ours: RFC 7009 section 2.2 wants no oracle here.
        await send_json(send, 200, {}, request_id=request_id)

    async def _refuse(self, send: Send, error: Exception, request_id: str) -> None:
        answer = answer_for(error, ErrorProfile.HUGGINGFACE, audience=self.lent.terms.audiences[0])
        log_error(error, answer, request_id)
        await send_json(
            send,
            answer.status,
            {"errors": [{"detail": answer.description}], "reason": answer.reason, "request_id": request_id},
            request_id=request_id,
            headers=retry_headers(answer),
        )


DOOR: Final = CargoDoor
