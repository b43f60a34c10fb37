"""One request of an ASGI application: scope, receive and send (HTTP 2.3), for all that is not on the short way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import httptools

from keyless.server.front.wire import CLOSE, CONTINUE, field_lines, status_line

if TYPE_CHECKING:
    from keyless.server.front.connection import Connection

_log = logging.getLogger("keyless.server")
_BODILESS: Final = frozenset({204, 304})
_SORRY: Final = b"Internal Server Error"

Message = MutableMapping[str, Any]


def make_scope(
    connection: Connection, method: bytes, version: str, url: bytes, headers: list[tuple[bytes, bytes]]
) -> Message:
    """Return the scope of a request.

    Raises:
        httptools.HttpParserInvalidURLError: The target is neither a path nor a URL.
    """
    parsed = httptools.parse_url(url)
    raw_path = parsed.path or b""
    path = raw_path.decode("ascii")
    transport = connection.transport
    own = transport.get_extra_info("sockname")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "server": (str(own[0]), int(own[1])) if isinstance(own, tuple) else None,
        "client": connection.client,
        "scheme": "http" if transport.get_extra_info("sslcontext") is None else "https",
        "method": method.decode("ascii"),
        "root_path": "",
        "path": unquote(path) if "%" in path else path,
        "raw_path": raw_path,
        "query_string": parsed.query or b"",
        "headers": headers,
        "state": dict(connection.app_state),
    }


class Cycle:
    """Carry one request to the application and its answer back.

    Args:
        connection: Where it came from.
        scope: What it is.
        keep_alive: Whether the caller leaves the connection open.
        expects: Whether he waits for `100 Continue` before he sends the body.
    """

    def __init__(self, connection: Connection, scope: Message, *, keep_alive: bool, expects: bool) -> None:
        self.body = bytearray()
        self.is_whole = False
        self.is_answered = False
        self.has_begun = False
        self._connection = connection
        self._scope = scope
        self._keep_alive = keep_alive
        self._expects = expects
        self._is_lost = False
        self._is_told = False  # that the body has ended
        self._news = asyncio.Event()  # more of the body, its end, or the caller's
        self._is_bodiless = False
        self._is_chunked = False
        self._closes = False
        self._left: int | None = None  # of the announced length

    def start(self) -> None:
        """Take one's turn."""
        connection = self._connection
        connection.be_patient()
        task = connection.loop.create_task(self._run())
        connection.state.tasks.add(task)
        task.add_done_callback(connection.state.tasks.discard)

    def take(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self.is_answered:
            self.body += body
            self._news.set()

    def end(self) -> None:
        """Note that the body is whole."""
        self.is_whole = True
        self._news.set()

    def disconnect(self) -> None:
        """Note that nobody waits for the answer any more."""
        self._is_lost = True
        self._news.set()

    async def _run(self) -> None:
        scope = self._scope
        try:
            await self._connection.app(scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - an error of ours ends this request, not the service
            _log.exception("%s %s failed", scope["method"], scope["path"])
        except asyncio.CancelledError:
            self._connection.transport.abort()
            raise
        if self.is_answered or self._is_lost:
            return
        if self.has_begun:
            self._connection.transport.abort()  # half an answer must not look like a whole one
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_SORRY))]
        await self._send({"type": "http.response.start", "status": 500, "headers": headers})
        await self._send({"type": "http.response.body", "body": _SORRY})

    async def _receive(self) -> Message:
        while not (self._is_lost or self.is_answered):
            if self._expects and not self.has_begun:
                self._connection.transport.write(CONTINUE)
                self._expects = False
            if self.body or (self.is_whole and not self._is_told):
                self._is_told = self.is_whole
                body, self.body = bytes(self.body), bytearray()
                return {"type": "http.request", "body": body, "more_body": not self.is_whole}
            self._connection.ask_for_more()
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._connection.until_writable()
        if self._is_lost:
            return
        if not self.has_begun:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"an answer begins with http.response.start, not with {message['type']}")
            self._begin(message["status"], list(message.get("headers", ())))
        elif self.is_answered or message["type"] != "http.response.body":
            raise RuntimeError(f"{message['type']} cannot follow here")
        else:
            self._go_on(message.get("body", b""), is_last=not message.get("more_body", False))

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        close = not self._connection.stays(keep_alive=self._keep_alive)
        # Who was not told to go on may or may not send the body: nobody could tell it from a next request.
        close = close or (self._expects and not self.is_whole)
        kept = []
        length = None
        for name, value in headers:
            match name.lower():
                case b"connection":
                    close = close or b"close" in value.lower()
                case b"transfer-encoding":
                    pass  # ours to choose
                case b"content-length":
                    length = int(value)
                    kept.append((b"content-length", value))
                case lower:
                    kept.append((lower, value))
        self._is_bodiless = self._scope["method"] == "HEAD" or status in _BODILESS
        self._is_chunked = length is None and not self._is_bodiless and self._scope["http_version"] == "1.1"
        self._left = length
        if self._is_chunked:
            kept.append((b"transfer-encoding", b"chunked"))
        close = close or (length is None and not self._is_bodiless and not self._is_chunked)
        lines = field_lines((*self._connection.state.default_headers, *kept))
        self.has_begun = True
        self._closes = close
        self._connection.transport.write(b"%b%b%b\r\n" % (status_line(status), lines, CLOSE if close else b""))

    def _go_on(self, body: bytes, *, is_last: bool) -> None:
        transport = self._connection.transport
        if self._is_bodiless:
            pass
        elif self._is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            transport.write(piece + b"0\r\n\r\n" if is_last else piece)
        else:
            if self._left is not None:
                self._left -= len(body)
                if self._left < 0 or (is_last and self._left):
                    raise RuntimeError("the body is not as long as its content-length")
            transport.write(body)
        if is_last:
            self.is_answered = True
            self.body.clear()
            self._news.set()
            self._connection.answered(close=self._closes)
