"""ASGI middleware: no request reaches the application without a token that was checked. Standard library only.

    app = TokenMiddleware(app, verifier)

The application finds the token in `scope["keyless"]` and asks it what it is good for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from keyless.errors import TokenError, UnavailableError
from keyless.verifier.bearer import read_authorization
from keyless.verifier.refusal import Refusal, refusal
from keyless.verifier.verifier import Verifier

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY: Final = "keyless"
POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1


class TokenMiddleware:
    """Verify the access token of every HTTP and WebSocket request.

    Args:
        app: The application.
        verifier: Checks tokens, in a worker thread.
        optional: Let requests without a token pass, with `scope["keyless"]` `None`. One that is not good never passes.
        metadata_url: Where this resource server's metadata is (RFC 9728 section 5.1).
    """

    def __init__(
        self, app: App, verifier: Verifier, *, optional: bool = False, metadata_url: str | None = None
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._optional = optional
        self._metadata_url = metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        values = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
        error: TokenError | UnavailableError | None = None
        try:
            text = read_authorization(values)
            token = None if text is None else await asyncio.to_thread(self._verifier.verify, text)
        except (TokenError, UnavailableError) as caught:
            token, error = None, caught
        if error is None and (token is not None or self._optional):
            await self._app({**scope, KEY: token}, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await _send(send, refusal(error, metadata_url=self._metadata_url))


async def _send(send: Send, answer: Refusal) -> None:
    headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
