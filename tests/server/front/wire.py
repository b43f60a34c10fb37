"""A connection of the front with a transport in memory: bytes in, bytes out, and no clock but the test's."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from keyless.server.doors.client_address import ClientAddresses
from keyless.server.doors.http import HttpAnswer, json_answer
from keyless.server.front import Front
from keyless.server.front.connection import Connection
from keyless.server.metrics import Metrics
from keyless.server.services.trail import Caller

PATH = "/oauth/token"
TURNS = 100  # of the event loop, in which all that can happen has happened


class Door:
    """The short way's end: it says back what it got, at once or when the test says so."""

    def __init__(self, *, holds: bool = False) -> None:
        self.addresses = ClientAddresses()
        self.metrics = Metrics()
        self.traced = False
        self.bodies: list[bytes] = []
        self.callers: list[Caller] = []
        self.held: list[Callable[[], None]] = []
        self._holds = holds

    def begin(self, content_type: str, body: bytes, caller: Caller, reply: Callable[[HttpAnswer], None]) -> None:
        """Say back what came."""
        self.bodies.append(body)
        self.callers.append(caller)
        said = {"type": content_type, "body": body.decode("latin-1"), "agent": caller.user_agent}
        answer = json_answer(200, said, request_id=caller.request_id)
        if self._holds:
            self.held.append(lambda: reply(answer))
        else:
            reply(answer)

    def refusal(self, error: Exception, caller: Caller) -> HttpAnswer:
        """Say what was wrong."""
        return json_answer(400, {"error": type(error).__name__, "text": str(error)}, request_id=caller.request_id)

    def shed(self, caller: Caller) -> HttpAnswer:
        """Say that there are too many."""
        return json_answer(503, {"error": "shed"}, request_id=caller.request_id, headers=[(b"retry-after", b"1")])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Say back what an application sees of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    seen = {name: scope[name] for name in ("method", "path", "http_version", "scheme", "client")}
    seen["query"] = scope["query_string"].decode()
    seen["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    content = json.dumps({**seen, "body": body.decode("latin-1")}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Memory(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711), "sockname": ("192.0.2.1", 80)})
        self.sent = b""
        self.ended = self.aborted = self.paused = False
        self.connection: Connection | None = None
        self._loop = loop
        self._closing = False

    def write(self, data: Any) -> None:
        assert not self._closing
        self.sent += bytes(data)

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            assert self.connection is not None
            self._loop.call_soon(self.connection.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


@dataclass
class Wire:
    """One connection under test."""

    front: Front
    door: Door
    connection: Connection
    transport: Memory
    state: ServerState = field(repr=False)
    config: uvicorn.Config = field(repr=False)

    def another(self) -> Wire:
        """Open one more connection of the same listener."""
        connection = self.front(self.config, self.state, {}, asyncio.get_running_loop())
        transport = Memory(asyncio.get_running_loop())
        transport.connection = connection
        connection.connection_made(transport)
        return Wire(self.front, self.door, connection, transport, self.state, self.config)

    async def send(self, *pieces: bytes) -> None:
        """Let pieces arrive, each in a turn of the loop of its own."""
        for piece in pieces:
            if self.transport.paused or self.transport.is_closing():
                return
            self.connection.data_received(piece)
            await self.settle()

    def stop(self) -> None:
        """Stop as the server does."""
        self.front.stop()
        for connection in list(self.state.connections):
            connection.shutdown()

    async def settle(self) -> None:
        """Let everything happen that can happen."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def wait(self, seconds: float) -> None:
        """Let time pass on the front's clock."""
        end = self.front.now + seconds
        while self.front.now < end:
            self.front.look_after(min(end, self.front.now + 1))
        await self.settle()

    @property
    def answers(self) -> list[tuple[int, dict[str, str], bytes]]:
        """What was answered so far: status, headers and body of each."""
        return parse_answers(self.transport.sent)

    @property
    def statuses(self) -> list[int]:
        """The statuses answered so far."""
        return [status for status, _, _ in self.answers]

    @property
    def is_open(self) -> bool:
        """Whether the connection goes on."""
        return not (self.transport.is_closing() or self.transport.ended)


def open_wire(*, app: Any = echo, holds: bool = False, short: bool = True, door: Door | None = None) -> Wire:
    """Open a connection on the running loop."""
    loop = asyncio.get_running_loop()
    door = door or Door(holds=holds)
    front = Front(door, PATH) if short else Front()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
    config = uvicorn.Config(app, lifespan="off", log_config=None, proxy_headers=False)
    connection = front(config, state, {}, loop)
    front.look_after(1000.0)
    transport = Memory(loop)
    transport.connection = connection
    connection.connection_made(transport)
    return Wire(front, door, connection, transport, state, config)


def parse_answers(sent: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Take a stream of answers apart."""
    answers = []
    while sent:
        head, end, sent = sent.partition(b"\r\n\r\n")
        assert end, sent
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = dict(line.split(": ", 1) for line in lines)
        if status == "100":
            answers.append((100, headers, b""))
            continue
        if headers.get("transfer-encoding") == "chunked":
            body, _, sent = sent.partition(b"0\r\n\r\n")
        else:
            length = int(headers.get("content-length", len(sent)))
            assert len(sent) >= length
            body, sent = sent[:length], sent[length:]
        answers.append((int(status), headers, body))
    return answers


def anonymous(sent: bytes) -> bytes:
    """Return a stream of answers without what differs from run to run."""
    return re.sub(rb"x-request-id: [0-9a-f]{24}", b"x-request-id: ID", sent)


def token_request(body: bytes, *more: bytes) -> bytes:
    """Return a request for the short way."""
    lines = [b"POST /oauth/token HTTP/1.1", b"Host: hub", b"User-Agent: tests", b"Content-Type: text/x", *more]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body
