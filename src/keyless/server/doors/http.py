"""The little HTTP that the endpoints share: ASGI messages in, one answer out (D17)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from random import getrandbits  # seeded anew in each worker, after the fork
from typing import Any, Final

from keyless.errors import RequestError
from keyless.server.services.trail import Caller

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Door = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS: Final = 10.0  # a body of 64 KiB takes less on any link that a CI job has
_MAX_USER_AGENT_CHARS: Final = 200
_encoder: Final = json.JSONEncoder(separators=(",", ":"))  # `json.dumps` would make one for each answer
# No cache may keep a token or an answer about one (V19, T103, RFC 6749 section 5.1); nothing here is a page.
ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
)


@dataclass(slots=True)
class HttpAnswer:
    """One whole answer in JSON; `headers` are those beside the ones that every answer of ours carries."""

    status: int
    body: bytes
    request_id: str
    headers: Sequence[tuple[bytes, bytes]] = ()


class BodyTooLargeError(RequestError):
    """The body is larger than the endpoint reads; answered with 413."""

    code = "body_too_large"


def header(scope: Scope, name: bytes) -> str:
    """Return the first header of that lower-case name as Latin-1 text, or an empty text."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


def caller_of(scope: Scope) -> Caller:
    """Return who sent the request, with a new request id."""
    client = scope.get("client")
    return make_caller(str(client[0]) if client else None, header(scope, b"user-agent"))


def make_caller(address: str | None, user_agent: str) -> Caller:
    """Return a caller with a new request id."""
    agent = user_agent[:_MAX_USER_AGENT_CHARS]
    if not agent.isprintable():
        agent = "".join(c if c.isprintable() else "?" for c in agent)
    # The time first, so that whoever is told an id finds its events without reading the whole audit. It is a name and
    # no secret: nothing is given to who knows it.
    request_id = f"{time.time_ns() // 1_000_000:012x}{getrandbits(48):012x}"
    return Caller(request_id, address, agent or None)


async def read_body(scope: Scope, receive: Receive, *, max_bytes: int) -> bytes:
    """Read the whole body, bounded in size and time.

    Raises:
        BodyTooLargeError: Larger than `max_bytes`, by its announcement or in fact.
        RequestError: It did not arrive in time, or the caller went away.
    """
    announced = header(scope, b"content-length")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > max_bytes:
        raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestError("the caller went away")
                chunk: bytes = message.get("body", b"")
                body += chunk
                if len(body) > max_bytes:
                    raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        raise RequestError(f"the body did not arrive within {BODY_SECONDS:g} s") from None


async def send_json(
    send: Send,
    status: int,
    content: Mapping[str, object],
    *,
    request_id: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send one JSON answer with the headers that every answer of ours carries."""
    await send_answer(send, json_answer(status, content, request_id=request_id, headers=headers))


def json_answer(
    status: int, content: Mapping[str, object], *, request_id: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> HttpAnswer:
    """Return one JSON answer."""
    return HttpAnswer(status, _encoder.encode(dict(content)).encode("ascii"), request_id, tuple(headers))


async def send_answer(send: Send, answer: HttpAnswer) -> None:
    """Send an answer with the headers that every answer of ours carries."""
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(answer.body)).encode("ascii")),
                (b"x-request-id", answer.request_id.encode("ascii")),
                *ALWAYS,
                *answer.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
