"""One connection: bytes to requests, requests answered in their order, and an end to whoever takes too long.

The parser is llhttp (`httptools`), strict as it comes: it refuses two lengths, a length beside chunks, bare line feeds,
folded lines and whatever else two parsers may read in two ways (RFC 9112 section 11.2). What it lets pass and must not
is refused here. Answers leave in the order of their requests, also when a later one is no request at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import httptools

from keyless.errors import RequestError
from keyless.server.doors.http import BodyTooLargeError
from keyless.server.front.asgi import Cycle, make_scope
from keyless.server.front.requests import (
    MAX_HEAD_BYTES,
    BadRequestError,
    Refusal,
    ShortRequest,
    reason_of,
    too_large,
)

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from keyless.server.doors.http import Door
    from keyless.server.front.front import Front

MAX_HEADERS: Final = 128
MAX_QUEUED: Final = 64  # requests of one connection that wait for the answer before theirs
MAX_UNREAD_BYTES: Final = 64 * 1024  # of a body that its application does not ask for

FIRST_SECONDS: Final = 30.0  # for the first byte
IDLE_SECONDS: Final = 75.0  # between requests: longer than proxies keep connections to us, so that they are who closes
HEAD_SECONDS: Final = 20.0  # from its first byte
BODY_SECONDS: Final = 10.0  # a body of 64 KiB takes less on any link that a CI job has
STALL_SECONDS: Final = 30.0  # without reading anything of what we answered
DISCARD_SECONDS: Final = 60.0  # for the rest of a body that was answered already
GRACE_SECONDS: Final = 1.0  # in which a request that is on its way when the server stops is still answered
LINGER_SECONDS: Final = 3.0  # in which a caller who is sending may still read why we hang up
NEVER: Final = float("inf")


class Connection(asyncio.Protocol):
    """One connection of a listener.

    Args:
        front: What it shares with the others.
        app: The ASGI application of the listener.
        state: uvicorn's record of connections and tasks, and the headers that every answer has.
        app_state: The application's state, from its lifespan.
        loop: The event loop.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        front: Front,
        app: Door,
        state: ServerState,
        app_state: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.front = front
        self.short: Any = front.short  # there is one where there are requests on it
        self.app = app
        self.state = state
        self.app_state = app_state
        self.loop = loop
        self.client: tuple[str, int] | None = None
        self.is_lost = False
        self.deadline = NEVER  # when `expire` is called, on the front's clock
        self._parser = httptools.HttpRequestParser(self)
        self._current: ShortRequest | Cycle | Refusal | None = None  # whose turn it is
        self._queue: deque[ShortRequest | Cycle | Refusal] = deque()
        self._reading: ShortRequest | Cycle | None = None  # whose body is not whole
        self._keep_alive = False
        self._in_head = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._piece = 0  # bytes read last
        self._since_news = 0  # bytes that have brought neither a request nor a piece of a body
        self._is_deaf = False  # what comes now is of no interest
        self._lingers = False
        self._is_read_paused = False
        self._writable: asyncio.Event | None = None  # there is one while the caller does not read

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self.state.connections.add(self)  # type: ignore[arg-type]  # uvicorn asks it for `shutdown` only
        self.deadline = self.front.now + FIRST_SECONDS
        if self.front.stops:  # it was accepted in the very moment
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Parse what came; each request in it begins, or takes its place in the queue."""
        if self._is_deaf:
            return
        self._piece = len(data)
        self._since_news += self._piece
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing else, and say so by answering in HTTP/1.1 (RFC 9110 section 7.8). The parser is through.
            self._is_deaf = True
        except httptools.HttpParserError as error:
            self._refuse(reason_of(error))
            return
        if self._since_news > MAX_HEAD_BYTES and (self._in_head or self._reading is not None):
            self._refuse(too_large())
        elif self._in_head and self._current is None and self._since_news == self._piece:
            self.deadline = self.front.now + HEAD_SECONDS

    def eof_received(self) -> bool:
        """Let who sends no more have the answers to what he has sent."""
        if self._current is None or self._reading is not None or self._lingers:
            return False
        self._is_deaf = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is asyncio's
        """Tell whoever answers that nobody listens."""
        self.is_lost = self._is_deaf = True
        self.deadline = NEVER
        self.state.connections.discard(self)
        for request in (self._current, self._reading):
            if isinstance(request, Cycle):
                request.disconnect()
        self._queue.clear()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The caller does not read: nothing more is answered, and nothing read, until he does."""
        self._writable = asyncio.Event()
        self.deadline = self.front.now + STALL_SECONDS
        self._pause_or_read()

    def resume_writing(self) -> None:
        """Go on."""
        if (writable := self._writable) is None:
            return
        self._writable = None
        writable.set()
        if self.is_lost:
            return
        self.deadline = NEVER
        if self._current is None:
            self._next()
        else:
            self._pause_or_read()

    # What the server calls

    def shutdown(self) -> None:
        """Answer what has begun and what is on its way, then close."""
        self.loop.call_later(GRACE_SECONDS, self._close_if_idle)

    def expire(self) -> None:
        """End what takes too long."""
        self.deadline = NEVER
        current = self._current
        if self._writable is not None or self._lingers or self.transport.is_closing():
            self.transport.abort()
        elif isinstance(current, ShortRequest) and not current.is_whole:
            self._fail(current, RequestError(f"the body did not arrive within {BODY_SECONDS:g} s"))
        elif self._in_head:
            self._refuse(BadRequestError(f"the head of the request did not arrive within {HEAD_SECONDS:g} s", 408))
        else:
            self._close_if_idle()

    # What requests call

    def stays(self, *, keep_alive: bool) -> bool:
        """Tell whether the connection stays open after the answer to a request that is served now."""
        return keep_alive and not self.front.stops and not (self._is_deaf and not self._queue)

    def answered(self, *, close: bool) -> None:
        """Go on after an answer."""
        self._current = None
        if close:
            if self._reading is None:
                self._is_deaf = True
                self.deadline = self.front.now + STALL_SECONDS
                self.transport.close()
            else:
                self.linger()
        elif self._queue or self._is_read_paused or self._writable is not None:
            if self._writable is None:
                self._next()
        else:
            self._rest()

    def be_patient(self) -> None:
        """Wait as long as an answer takes."""
        self.deadline = NEVER

    def await_body(self) -> None:
        """Wait as long as the rest of a request may take."""
        self.deadline = self.front.now + BODY_SECONDS

    def linger(self) -> None:
        """Hang up, but let the caller read why: with something unread, closing would take the answer from him."""
        self._is_deaf = self._lingers = True
        self._current = self._reading = None
        self.deadline = self.front.now + LINGER_SECONDS
        self._pause_or_read()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def ask_for_more(self) -> None:
        """Read on: the application asks for more of the body."""
        if self._is_read_paused:
            self._pause_or_read()

    async def until_writable(self) -> None:
        """Wait until the caller has read enough of what was written."""
        while (writable := self._writable) is not None:
            await writable.wait()

    def _close_if_idle(self) -> None:
        if self._current is None and not self._in_head:
            self.transport.close()

    def _next(self) -> None:
        if self._queue:
            self._current = self._queue.popleft()
            self._current.start()
        else:
            self._rest()
        if self._is_read_paused:
            self._pause_or_read()

    def _rest(self) -> None:
        """Wait for the next request, or for the end of a body whose answer is given already."""
        seconds = DISCARD_SECONDS if self._reading is not None else HEAD_SECONDS if self._in_head else IDLE_SECONDS
        self.deadline = self.front.now + seconds

    def _pause_or_read(self) -> None:
        reading = self._reading
        unread = len(reading.body) if isinstance(reading, Cycle) else 0
        pause = not self._lingers and (self._writable is not None or bool(self._queue) or unread > MAX_UNREAD_BYTES)
        if pause != self._is_read_paused and not self.transport.is_closing():
            self._is_read_paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    def _enqueue(self, request: ShortRequest | Cycle | Refusal) -> None:
        if self._current is None and self._writable is None:
            self._current = request
            request.start()
        else:
            self._queue.append(request)
            self._pause_or_read()

    def _refuse(self, reason: BadRequestError) -> None:
        """Answer what is no request, after the requests before it, and hang up."""
        if self._is_deaf:
            return  # it follows what was the last request
        self._is_deaf = True
        refusal = Refusal(self, reason.status, reason.text)
        reading, self._reading = self._reading, None
        if reading is None:
            self._enqueue(refusal)
            return
        begun = reading.is_answered
        if isinstance(reading, Cycle):
            begun = begun or reading.has_begun
            reading.disconnect()
        if begun:  # its answer is what this caller gets
            self.transport.abort()
        elif reading is self._current:
            self._current = refusal
            refusal.start()
        else:
            self._queue[-1] = refusal

    def _fail(self, request: ShortRequest, error: Exception) -> None:
        """Refuse a request whose body is not whole; the rest of it is thrown away."""
        request.error, request.body = error, b""
        if request is self._current:
            request.start()

    def _too_long(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"the body is larger than {self.front.max_body_bytes} bytes")

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_deaf or len(self._queue) >= MAX_QUEUED:
            self._is_deaf = True
            raise BadRequestError("too many requests at once")  # not said: the last one answered closes
        self._in_head = True
        self._since_news = self._piece
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what follows a body in chunks is none (RFC 9110 section 6.5.1)."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose the way of a request."""
        self._in_head = False
        parser, headers, url = self._parser, self._headers, self._url
        if self._since_news > MAX_HEAD_BYTES and _size(url, headers) > MAX_HEAD_BYTES:  # the rest may be body
            raise too_large()
        if len(headers) > MAX_HEADERS:
            raise BadRequestError(f"the request has more than {MAX_HEADERS} headers", 431)
        version, method = parser.get_http_version(), parser.get_method()
        hosts = length = 0
        expects = is_chunked = False
        for name, value in headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                is_chunked = True
            elif name == b"expect":
                expects = value.lower() == b"100-continue"
        if version != "1.1" and (version != "1.0" or is_chunked):  # RFC 9112 section 6.1: there are no chunks in 1.0
            raise BadRequestError("only HTTP/1.1 and HTTP/1.0 are spoken here")
        if hosts > 1 or (not hosts and version == "1.1"):
            raise BadRequestError("a request has one Host header")
        if parser.should_upgrade() and (length or is_chunked or method == b"CONNECT"):
            raise BadRequestError("no other protocol is spoken here")
        keep_alive = version == "1.1" and parser.should_keep_alive()
        request: ShortRequest | Cycle
        if url == self.front.path and method == b"POST" and self.short is not None and not expects:
            request = ShortRequest(self, headers, keep_alive=keep_alive)
            if length > self.front.max_body_bytes:
                request.error = self._too_long()
        else:
            scope = make_scope(self, method, version, url, headers)
            request = Cycle(self, scope, keep_alive=keep_alive, expects=expects)
        self._keep_alive = keep_alive
        self._reading = request
        self._enqueue(request)

    def on_chunk_header(self) -> None:
        """Note that the body goes on, or ends."""
        self._since_news = 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._since_news = 0
        request = self._reading
        if isinstance(request, ShortRequest):
            if request.error is not None:
                return
            request.body = request.body + body if request.body else body
            if len(request.body) > self.front.max_body_bytes:
                self._fail(request, self._too_long())
        elif request is not None:
            request.take(body)
            if len(request.body) > MAX_UNREAD_BYTES:
                self._pause_or_read()

    def on_message_complete(self) -> None:
        """End a request."""
        request, self._reading = self._reading, None
        if not self._keep_alive:
            self._is_deaf = True  # whatever he sends after that, he was told that it is not read
        if isinstance(request, Cycle):
            request.end()
        elif request is not None:
            request.is_whole = True
            if request is self._current and request.error is None:
                request.start()
        if request is not None and request.is_answered and self._current is None:
            self._rest()


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) for name, value in headers)
