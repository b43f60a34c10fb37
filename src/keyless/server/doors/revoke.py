"""`POST /oauth/revoke`: withdraw an access token (RFC 7009). The token itself is the authority."""

from __future__ import annotations

import asyncio

from keyless.errors import RequestError
from keyless.server.doors.errors import ErrorProfile, send_error
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.services.live import LiveTokens
from keyless.server.services.rate_limit import RateLimit
from keyless.server.services.token_request import MAX_BODY_BYTES, read_members


class RevokeDoor:
    """Answer 200 whether or not the token was good: RFC 7009 section 2.2 wants no oracle here.

    Args:
        live: Knows tokens.
        vain: How often an address may revoke nothing. Good revocations are never held up.
        profile: The OAuth codes of refusals.
    """

    def __init__(self, live: LiveTokens, *, vain: RateLimit, profile: ErrorProfile) -> None:
        self._live = live
        self._vain = vain
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST."""
        caller = caller_of(scope)
        try:
            body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)
            token = read_members(header(scope, b"content-type"), body).get("token")
            if not token:
                raise RequestError("the parameter token is missing")
            if not await asyncio.to_thread(self._live.revoke, token, request_id=caller.request_id):
                self._vain.spend(caller.address)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_error(send, error, self._profile, audience="", request_id=caller.request_id)
            return
        await send_json(send, 200, {}, request_id=caller.request_id)
