"""The hub as one ASGI application: find the handler, find out who asks, answer, and never answer in another form."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyless.hub.call import Call
from keyless.hub.errors import HubError, error_response, not_found
from keyless.hub.identity import TokenVerifier, identify
from keyless.hub.names import split_path
from keyless.hub.routes import route
from keyless.hub.store import HubStore
from keyless.resource import Resource

_log: Final = logging.getLogger(__name__)


class Hub:
    """The reference hub; make one with `create_hub`. `store` is public: an operator's code sets visibility there."""

    def __init__(self, store: HubStore, verifier: TokenVerifier, *, public_url: str) -> None:
        self.store: Final = store
        self._verifier: Final = verifier
        self._public_url: Final = public_url.rstrip("/")
        self._prefix: Final = urlsplit(self._public_url).path.encode()  # proxies in front pass paths on unchanged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; answer the lifespan protocol so that the hub can also run by itself."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            raise RuntimeError(f"the hub does not speak {scope['type']}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request_id = _request_id(scope)
        response: ASGIApp
        try:
            response = await self._answer(request)
        except HubError as error:
            _log_refusal(error, request, request_id)
            response = error_response(error)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception:  # noqa: BLE001  # whatever it was, the client reads one form of answer
            _log.exception("request %s failed", request_id)
            response = error_response(HubError("The hub failed on this request", status=500))
        await response(scope, receive, _with_headers(send, request_id))

    async def _answer(self, request: Request) -> Response:
        handler = route(request.method, split_path(_raw_path(request.scope, self._prefix)))
        # A token that is not acceptable is refused everywhere, also where nobody asked for one.
        identity = await run_in_threadpool(identify, request.headers.getlist("authorization"), self._verifier)
        return await handler(Call(request, identity, self.store, self._public_url))


def create_hub(
    directory: Path,
    verifier: TokenVerifier,
    *,
    public_url: str,
    clock: Callable[[], float] = time.time,
    on_created: Callable[[Resource], None] | None = None,
) -> Hub:
    """Make the reference hub (D25).

    Args:
        directory: Where repositories live; belongs to this process alone.
        verifier: Verifies access tokens; normally a `keyless.verifier.Verifier`.
        public_url: What users set as `HF_ENDPOINT`, path prefix included.
        clock: Unix seconds; dates commits.
        on_created: Told of each new repository; normally `ResourceStates.created` of `keyless.verifier`. When it cannot
            be told now, the repository is there all the same.
    """
    return Hub(HubStore(directory, clock=clock, on_created=on_created), verifier, public_url=public_url)


def _raw_path(scope: Scope, prefix: bytes) -> bytes:
    """Return the path as it was sent, less the path of the public URL.

    Raises:
        HubError: 404; the address is not below the public URL.
    """
    raw = scope.get("raw_path") or scope["path"].encode()
    path: bytes = raw.partition(b"?")[0]
    if not path.startswith(prefix + b"/"):
        raise not_found("This hub has no such address")
    return path[len(prefix) :]


def _request_id(scope: Scope) -> str:
    """Return the request id the server around the hub gave, or a new one."""
    given = scope.get("state", {}).get("request_id")
    return given if isinstance(given, str) else secrets.token_hex(16)


def _with_headers(send: Send, request_id: str) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("X-Request-Id", request_id)
            # Answers depend on the token; a cache in between must not hand one caller's to the next (T103).
            headers["Cache-Control"] = "no-store"
        await send(message)

    return send_with_headers


def _log_refusal(error: HubError, request: Request, request_id: str) -> None:
    reason = getattr(error.__cause__, "code", error.error_code or "")
    level = logging.WARNING if error.status >= 500 else logging.INFO
    _log.log(level, "refused %s with %d %s (request %s)", request.method, error.status, reason, request_id)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
