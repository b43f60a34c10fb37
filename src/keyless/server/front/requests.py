"""What waits for its turn on a connection: requests of the short way, and the answer to what is no request."""

from __future__ import annotations

import json
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Final

import httptools

from keyless.server.doors.http import ALWAYS, HttpAnswer, make_caller
from keyless.server.front.wire import CLOSE, field_lines, status_line
from keyless.server.services.trail import Caller

if TYPE_CHECKING:
    from keyless.server.front.connection import Connection

MAX_HEAD_BYTES: Final = 64 * 1024
_NO_REQUEST: Final = b'{"error":"invalid_request","error_description":%b,"reason":"request_malformed"}'

_log = logging.getLogger("keyless.server")


class ShortRequest:
    """A request on the short way, whole or still being read."""

    __slots__ = ("_connection", "body", "error", "headers", "is_answered", "is_whole", "keep_alive", "since")

    def __init__(self, connection: Connection, headers: list[tuple[bytes, bytes]], *, keep_alive: bool) -> None:
        self._connection = connection
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = b""
        self.error: Exception | None = None
        self.is_whole = False
        self.is_answered = False
        self.since = 0.0

    def start(self) -> None:
        """Take one's turn; what is not whole yet waits for the rest."""
        connection = self._connection
        if self.error is not None:
            connection.front.under_way += 1
            self.reply(connection.short.refusal(self.error, self._caller(connection)))
        elif self.is_whole:
            self.since = perf_counter()
            connection.be_patient()
            connection.front.gather(self, connection.loop)
        else:
            connection.await_body()

    def begin(self, waited: float, *, shed: bool) -> None:
        """Hand it over, or refuse it because there are too many; `waited` is in seconds."""
        connection = self._connection
        if connection.transport.is_closing():  # nothing is granted to who went away
            connection.front.under_way -= 1
            return
        short = connection.short
        short.metrics.queue_wait.observe(waited)
        if shed:
            self.reply(short.shed(self._caller(connection)))
        else:
            content_type = _first(self.headers, b"content-type")
            short.begin(content_type, self.body, self._caller(connection), self.reply)

    def abandon(self) -> None:
        """Give up after an error of ours."""
        self._connection.front.under_way -= not self.is_answered
        self._connection.transport.abort()

    def _caller(self, connection: Connection) -> Caller:
        peer = connection.client[0] if connection.client else None
        address = connection.short.addresses.of(peer, self.headers)
        caller = make_caller(address, _first(self.headers, b"user-agent"))
        if connection.short.traced:
            return caller._replace(traceparent=_first(self.headers, b"traceparent"))
        return caller

    def reply(self, answer: HttpAnswer) -> None:
        """Send the answer."""
        connection = self._connection
        connection.front.under_way -= 1
        self.is_answered = True
        if connection.transport.is_closing():
            return
        close = not connection.stays(keep_alive=self.keep_alive)
        connection.transport.write(connection.front.heads.answer(answer, connection.state.default_headers, close=close))
        connection.answered(close=close)


def _first(headers: list[tuple[bytes, bytes]], wanted: bytes) -> str:
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


class Refusal:
    """Stand in the order of requests for bytes that are none: the last answer of a connection."""

    def __init__(self, connection: Connection, status: int, text: str) -> None:
        self._connection = connection
        self._status = status
        self._text = text

    def start(self) -> None:
        """Answer, and hang up."""
        body = _NO_REQUEST % json.dumps(self._text).encode("ascii")
        headers = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *ALWAYS)
        lines = field_lines((*self._connection.state.default_headers, *headers))
        self._connection.transport.write(b"%b%b%b\r\n%b" % (status_line(self._status), lines, CLOSE, body))
        self._connection.linger()


class BadRequestError(Exception):
    """What was sent is no request that is served here; carries status and text of the answer."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text, self.status = text, status


def too_large() -> BadRequestError:
    """Return what to say of a head that is too large."""
    return BadRequestError(f"the head of the request is larger than {MAX_HEAD_BYTES} bytes", 431)


def reason_of(error: httptools.HttpParserError) -> BadRequestError:
    """Return what to say of something that the parser, or one of us whom it called, did not like."""
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    if isinstance(cause, BadRequestError):
        return cause
    if isinstance(cause, httptools.HttpParserInvalidURLError):
        return BadRequestError("the target of the request is neither a path nor a URL")
    if cause is not None:
        _log.error("a request could not be read", exc_info=cause)
        return BadRequestError("internal error", 500)
    return BadRequestError(f"this is no HTTP/1.1 request: {error}")
