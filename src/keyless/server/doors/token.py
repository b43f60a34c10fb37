"""`POST /oauth/token`: the exchange (RFC 8693 section 2), in JSON or as a form."""

from __future__ import annotations

import functools
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from keyless.errors import Error
from keyless.server.doors.client_address import ClientAddresses
from keyless.server.doors.errors import ErrorProfile, error_answer
from keyless.server.doors.http import HttpAnswer, Receive, Scope, Send, caller_of, header, read_body, send_answer
from keyless.server.log import GrantLog
from keyless.server.metrics import Metrics
from keyless.server.services.exchange import ExchangeService, IssuedToken
from keyless.server.services.token_request import MAX_BODY_BYTES, parse_token_request, read_members
from keyless.server.services.trail import Caller

MAX_BYTES: Final = MAX_BODY_BYTES
_SHED: Final = (
    b'{"error":"temporarily_unavailable","error_description":"more requests came than can be answered; nothing was'
    b' granted or refused","reason":"unavailable","request_id":"%b"}'
)
_SHED_HEADERS: Final = ((b"retry-after", b"1"),)


class TokenDoor:
    """Read a token request, hand it to the exchange, send what comes back.

    Called as an ASGI application, or by `keyless.server.front` with a whole request (D17).

    Args:
        service: The exchange.
        public_url: Our URL.
        profile: The OAuth codes of refusals.
        addresses: Finds the callers behind our proxies.
        metrics: What to count in.
        traced: The exchange wants to know of which trace it is a part.
    """

    def __init__(
        self,
        service: ExchangeService,
        *,
        public_url: str,
        profile: ErrorProfile,
        addresses: ClientAddresses | None = None,
        metrics: Metrics | None = None,
        traced: bool = False,
    ) -> None:
        self.traced = traced
        self.addresses = addresses or ClientAddresses()
        self.metrics = metrics or Metrics()
        self._service = service
        self._public_url = public_url
        self._profile = profile
        self._grants = GrantLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST."""
        caller = caller_of(scope)
        if self.traced:
            caller = caller._replace(traceparent=header(scope, b"traceparent"))
        try:
            body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_answer(send, self.refusal(error, caller))
            return
        await send_answer(send, await self.answer(header(scope, b"content-type"), body, caller))

    def begin(self, content_type: str, body: bytes, caller: Caller, reply: Callable[[HttpAnswer], None]) -> None:
        """Do what `answer` does without a task of its own, and hand the answer to `reply` (D17); never raises.

        Args:
            content_type: The header.
            body: Complete, and not larger than `MAX_BYTES`.
            caller: Who sent it.
            reply: Called once, before this returns or in a later callback of the running loop.
        """
        try:
            request = parse_token_request(read_members(content_type, body), public_url=self._public_url)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            reply(self.refusal(error, caller))
            return
        self._service.begin(request, caller, functools.partial(self._reply, caller, reply))

    def _reply(self, caller: Caller, reply: Callable[[HttpAnswer], None], result: IssuedToken | Exception) -> None:
        reply(self.refusal(result, caller) if isinstance(result, Exception) else self._granted(result, caller))

    async def answer(self, content_type: str, body: bytes, caller: Caller) -> HttpAnswer:
        """Answer one request whose body is complete and not larger than `MAX_BYTES`; never raises."""
        try:
            request = parse_token_request(read_members(content_type, body), public_url=self._public_url)
            issued = await self._service.exchange(request, caller)
        except Exception as error:  # noqa: BLE001 - as above
            return self.refusal(error, caller)
        return self._granted(issued, caller)

    def _granted(self, issued: IssuedToken, caller: Caller) -> HttpAnswer:
        self.metrics.exchanges.add("granted")
        self._grants.write(caller.request_id, issued.publisher_id, issued.path, issued.scope)
        return HttpAnswer(200, _granted(issued), caller.request_id)

    def refusal(self, error: Exception, caller: Caller) -> HttpAnswer:
        """Count and log an error and return its answer."""
        self.metrics.exchanges.add(error.code if isinstance(error, Error) else "internal_error")
        return error_answer(error, self._profile, audience=self._public_url, request_id=caller.request_id)

    def shed(self, caller: Caller) -> HttpAnswer:
        """Refuse what waited too long for its turn, as cheaply as can be: counted, not logged."""
        self.metrics.exchanges.add("shed")
        return HttpAnswer(503, _SHED % caller.request_id.encode("ascii"), caller.request_id, _SHED_HEADERS)


def _granted(issued: IssuedToken) -> bytes:
    """Return the body of RFC 8693 section 2.2.1.

    `Bearer` has its capital: some clients compare it letter by letter.
    """
    return (
        f'{{"access_token":{quoted(issued.access_token.reveal())},"issued_token_type":"{issued.issued_token_type}",'
        f'"token_type":"Bearer","expires_in":{issued.expires_in},"scope":{quoted(issued.scope)}}}'
    ).encode("ascii")
