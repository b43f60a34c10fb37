"""`POST /oauth/token`: the exchange (RFC 8693 section 2), in JSON or as a form."""

from __future__ import annotations

import logging

from keyless.server.doors.errors import ErrorProfile, send_error
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.services.exchange import ExchangeService
from keyless.server.services.token_request import MAX_BODY_BYTES, parse_token_request, read_members

_log = logging.getLogger("keyless.server")


class TokenDoor:
    """Read a token request, hand it to the exchange, send what comes back.

    Args:
        service: The exchange.
        public_url: Our URL.
        profile: The OAuth codes of refusals.
    """

    def __init__(self, service: ExchangeService, *, public_url: str, profile: ErrorProfile) -> None:
        self._service = service
        self._public_url = public_url
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST."""
        caller = caller_of(scope)
        try:
            body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)
            request = parse_token_request(
                read_members(header(scope, b"content-type"), body), public_url=self._public_url
            )
            issued = await self._service.exchange(request, caller)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_error(send, error, self._profile, audience=self._public_url, request_id=caller.request_id)
            return
        _log.info(
            "granted %s publisher=%s resource=%s scope=%s",
            caller.request_id,
            issued.publisher_id,
            issued.resource,
            issued.scope,
        )
        # RFC 8693 section 2.2.1. `Bearer` has its capital: some clients compare it letter by letter.
        await send_json(
            send,
            200,
            {
                "access_token": issued.access_token.reveal(),
                "issued_token_type": issued.issued_token_type,
                "token_type": "Bearer",
                "expires_in": issued.expires_in,
                "scope": issued.scope,
            },
            request_id=caller.request_id,
        )
