"""Send one request to an ASGI application, without a socket between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from keyless.server.doors.http import Door


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Sequence[str] = ()  # all that are set, which a mapping cannot hold

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        content = json.loads(self.body)
        assert isinstance(content, dict)
        return content


async def request(
    app: Door,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    chunks: list[bytes] | None = None,
    query: str = "",
    address: str = "192.0.2.7",
) -> Answer:
    """Send one request; `chunks` sends the body in these pieces instead of at once."""
    pieces = list(chunks) if chunks is not None else [body]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if not pieces:
            await asyncio.sleep(3600)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        "client": (address, 40000),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    start, *rest = sent
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in rest),
        tuple(value.decode() for name, value in start["headers"] if name == b"set-cookie"),
    )


def ask(app: Door, method: str, path: str, **options: Any) -> Answer:
    """Send one request from synchronous code."""
    return asyncio.run(request(app, method, path, **options))
