"""`POST /oauth/explain`: the request of `/oauth/token`, answered with a verdict instead of a token (D12)."""

from __future__ import annotations

import logging

from keyless.server.doors.errors import ErrorProfile, send_error
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.services.explain import ExplainService
from keyless.server.services.token_request import MAX_BODY_BYTES, parse_token_request, read_members

_log = logging.getLogger("keyless.server")


class ExplainDoor:
    """Read a token request, hand it to explain, send the verdict.

    A request or a token that is not acceptable is refused exactly as at `/oauth/token`; only a matter of trust is 200.
    The body names no request id, so that two answers of one class are the same bytes.

    Args:
        service: Explain.
        public_url: Our URL.
        profile: The OAuth codes of refusals.
    """

    def __init__(self, service: ExplainService, *, public_url: str, profile: ErrorProfile) -> None:
        self._service = service
        self._public_url = public_url
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST."""
        caller = caller_of(scope)
        audience = self._public_url
        try:
            body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)
            request = parse_token_request(
                read_members(header(scope, b"content-type"), body), public_url=self._public_url
            )
            audience = next(iter(self._service.audiences_for(request)), audience)
            answer = await self._service.explain(request, caller)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_error(send, error, self._profile, audience=audience, request_id=caller.request_id)
            return
        _log.info("explained %s reason=%s resource=%s", caller.request_id, answer.reason, request.resource)
        await send_json(
            send,
            200,
            {
                "accepted": answer.accepted,
                "reason": answer.reason,
                "resource": str(answer.resource) if answer.resource is not None else None,
                "publishers": answer.publishers,
            },
            request_id=caller.request_id,
        )
