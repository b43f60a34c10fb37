"""The exchange's own short way through the HTTP server (D17).

Nearly every token request comes in one piece, on a connection that does nothing else at the moment. Such a one needs
no ASGI scope, no message queue and nobody who waits for a body: it is handed to the token door as it is and answered
with one write. The parser is uvicorn's, and whatever is not such a request takes uvicorn's ordinary way to that door.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from keyless.server.doors.http import ALWAYS, HttpAnswer, make_caller
from keyless.server.doors.token import MAX_BYTES, TokenDoor

# Admission by time waited (D17): what one turn of the event loop reads, it begins in order; whoever's turn comes later
# than this would only make everybody after him wait longer still. A few requests are never a crowd, however slow the
# machine is at the moment.
MAX_WAIT_SECONDS: Final = 0.02
MIN_CROWD: Final = 96

_FIXED: Final = (
    b"content-type: application/json\r\n"
    + b"".join(name + b": " + value + b"\r\n" for name, value in ALWAYS)
    + b"content-length: "
)


class _NobodyWaits:
    """Stand where uvicorn keeps the event that wakes a reader of the body."""

    def set(self) -> None:
        pass


class _Exchange:
    """One request under way: the part of uvicorn's `RequestResponseCycle` that its protocol looks at."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")
    message_event: Final = _NobodyWaits()

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False


class _ExchangeProtocol(HttpToolsProtocol):
    cycle: Any  # uvicorn's own, ours, or none yet
    door: TokenDoor
    path: bytes
    held: bytes | None = None
    """The body so far of a request that may go the short way."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.held is not None and not self.transport.is_closing():
            # The rest is still to come: uvicorn waits for it, and `read_body` watches the clock.
            held, self.held = self.held, None
            super().on_headers_complete()
            super().on_body(held)

    def on_headers_complete(self) -> None:
        if (
            self.url == self.path
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
        ):
            self.held = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.held is None:
            super().on_body(body)
        else:
            self.held += body

    def on_message_complete(self) -> None:
        if (body := self.held) is None:
            super().on_message_complete()
            return
        self.held = None
        if len(body) > MAX_BYTES:  # the ordinary way says so
            super().on_headers_complete()
            super().on_body(body)
            super().on_message_complete()
            return
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        exchange: Any = _Exchange(keep_alive=keep_alive)
        self.cycle = exchange
        task = self.loop.create_task(self._answer(exchange, self.headers, body, perf_counter()))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _answer(
        self, exchange: _Exchange, headers: list[tuple[bytes, bytes]], body: bytes, received: float
    ) -> None:
        door, waited = self.door, perf_counter() - received
        door.metrics.queue_wait.observe(waited)
        content_type = user_agent = ""
        for name, value in reversed(headers):  # the first of a name counts
            if name == b"content-type":
                content_type = value.decode("latin-1")
            elif name == b"user-agent":
                user_agent = value.decode("latin-1")
        caller = make_caller(door.addresses.of(self.client[0] if self.client else None, headers), user_agent)
        if waited > MAX_WAIT_SECONDS and len(self.tasks) > MIN_CROWD:
            answer = door.shed(caller)
        else:
            answer = await door.answer(content_type, body, caller)
        if self.flow.write_paused and not exchange.disconnected:
            await self.flow.drain()
        exchange.response_complete = True
        if exchange.disconnected:
            return
        self.transport.write(self._on_the_wire(answer, keep_alive=exchange.keep_alive))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _on_the_wire(self, answer: HttpAnswer, *, keep_alive: bool) -> bytes:
        more = [*self.server_state.default_headers, *answer.headers]
        if not keep_alive:
            more.append((b"connection", b"close"))
        return b"%b%b%d\r\nx-request-id: %b\r\n%b\r\n%b" % (
            STATUS_LINE[answer.status],
            _FIXED,
            len(answer.body),
            answer.request_id.encode("ascii"),
            b"".join(b"%b: %b\r\n" % pair for pair in more),
            answer.body,
        )


def exchange_protocol(door: TokenDoor, path: str) -> type[HttpToolsProtocol]:
    """Return the protocol class for a listener whose `path` is served by this token door."""
    return type("ExchangeProtocol", (_ExchangeProtocol,), {"door": door, "path": path.encode("ascii")})
