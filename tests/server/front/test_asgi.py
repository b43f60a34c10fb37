"""What an ASGI application is told of a request, and what becomes of what it says."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from tests.server.front.test_connection import on_a_wire, sent
from tests.server.front.wire import Wire

GET = b"GET /a%20b?c=%20d HTTP/1.1\r\nHost: hub\r\nX-Name: one\r\nx-name: two\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello"
START = {"type": "http.response.start", "status": 200, "headers": []}


def saying(*messages: dict[str, Any]) -> Any:
    """Return an application that sends these messages, whatever it is asked."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    """Return a message with a piece of the body."""
    return {"type": "http.response.body", "body": content, "more_body": more}


def start(status: int = 200, **headers: str) -> dict[str, Any]:
    """Return the message that begins an answer."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": lines}


def test_an_application_sees_the_request() -> None:
    """ASGI 3.0: path decoded, query and headers as they came, names in lower case, in order."""
    wire = sent(GET, short=False)
    seen = json.loads(wire.answers[0][2])
    assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/a b", "c=%20d")
    assert seen["headers"] == [["host", "hub"], ["x-name", "one"], ["x-name", "two"]]
    assert (seen["http_version"], seen["scheme"], seen["client"]) == ("1.1", "http", ["192.0.2.7", 4711])


def test_a_url_as_target_is_its_path() -> None:
    """RFC 9112 section 3.2.2: as a proxy would be asked."""
    seen = json.loads(sent(b"GET http://hub/a?b HTTP/1.1\r\nHost: hub\r\n\r\n").answers[0][2])
    assert (seen["path"], seen["query"]) == ("/a", "b")


def test_an_answer_without_length_comes_in_chunks() -> None:
    """RFC 9112 section 7.1; in HTTP/1.0 its end is the connection's."""
    app = saying(start(), body(b"one", more=True), body(b"", more=True), body(b"two"))
    wire = sent(GET, app=app)
    assert wire.transport.sent.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert wire.is_open
    old = sent(b"GET / HTTP/1.0\r\n\r\n", app=app)
    assert old.transport.sent.endswith(b"connection: close\r\n\r\nonetwo")
    assert not old.is_open


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_answer_that_has_no_body_has_none(method: str, status: int) -> None:
    """RFC 9110 sections 9.3.2 and 15: whatever the application says; the next answer follows."""
    request = f"{method} / HTTP/1.1\r\nHost: hub\r\n\r\n".encode()
    wire = sent(request + request, app=saying(start(status), body(b"hello")))
    assert wire.transport.sent.count(b"HTTP/1.1 ") == 2
    assert b"hello" not in wire.transport.sent
    assert b"chunked" not in wire.transport.sent


def test_an_application_that_closes_closes() -> None:
    """RFC 9112 section 9.6."""
    wire = sent(GET + GET, app=saying(start(connection="close", content_length="2"), body(b"ok")))
    assert wire.statuses == [200]
    assert wire.answers[0][1]["connection"] == "close"
    assert not wire.is_open


BROKEN = {
    "it says nothing": saying(),
    "it begins with a body": saying(body(b"ok")),
    "a header has a line of its own": saying(start(x_name="a\r\nSet-Cookie: b"), body(b"ok")),
    "a name is no name": saying({**START, "headers": [(b"x: a", b"b")]}, body(b"ok")),
    "a length is no number": saying(start(content_length="two"), body(b"ok")),
}


@pytest.mark.parametrize("app", BROKEN.values(), ids=BROKEN.keys())
def test_an_error_before_the_answer_is_a_500(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """D9: one answer, no part of what went wrong in it, and the connection goes on."""
    with caplog.at_level(logging.CRITICAL):
        wire = sent(GET, app=app)
    assert wire.statuses == [500]
    assert wire.answers[0][2] == b"Internal Server Error"
    assert b"Set-Cookie" not in wire.transport.sent
    assert wire.is_open


HALF = {
    "it ends too early": saying(start(content_length="5"), body(b"ok", more=True)),
    "less than it said": saying(start(content_length="5"), body(b"ok")),
    "more than it said": saying(start(content_length="1"), body(b"ok")),
    "two beginnings": saying(start(content_length="2"), start()),
}


@pytest.mark.parametrize("app", HALF.values(), ids=HALF.keys())
def test_half_an_answer_does_not_look_whole(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """D9: the connection breaks, so that nobody takes it for the whole, or the next answer for the rest."""
    with caplog.at_level(logging.CRITICAL):
        wire = sent(GET + GET, app=app)
    assert wire.transport.sent.count(b"HTTP/1.1 ") == 1
    assert wire.transport.aborted


def test_a_body_nobody_reads_is_no_next_request() -> None:
    """RFC 9112 section 9.3: an answer before the end of its request; the rest is thrown away."""
    wire = sent(POST[:-3], POST[-3:] + GET, app=saying(start(content_length="2"), body(b"ok")))
    assert wire.statuses == [200, 200]
    assert wire.is_open


def test_who_was_not_told_to_go_on_is_hung_up_on() -> None:
    """RFC 9110 section 10.1.1: nobody can tell whether the body comes; it must not be read as a request."""
    request = POST.replace(b"\r\n\r\nhello", b"\r\nExpect: 100-continue\r\n\r\n")
    wire = sent(request, GET, app=saying(start(content_length="2"), body(b"no")))
    assert wire.statuses == [200]
    assert wire.answers[0][1]["connection"] == "close"
    assert wire.transport.ended


def test_a_large_body_waits_until_it_is_asked_for() -> None:
    """T11: what an application does not take is not read from the network either."""

    async def scene(wire: Wire) -> None:
        await wire.send(b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 200000\r\n\r\n", b"x" * 70_000)
        before = wire.transport.paused
        asked.set()
        await wire.settle()
        assert (before, wire.transport.paused) == (True, False)
        await wire.send(b"x" * 130_000)
        await wire.settle()

    async def slow(_scope: Any, receive: Any, send: Any) -> None:
        await asked.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await send(start(content_length="6"))
        await send(body(b"%d" % size))

    asked = asyncio.Event()
    assert on_a_wire(scene, app=slow).answers[0][2] == b"200000"


def test_a_large_body_that_nobody_asks_for_is_thrown_away() -> None:
    """T11: reading had stopped because there was too much of it; it goes on when the answer is given."""

    async def scene(wire: Wire) -> None:
        await wire.send(b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 200000\r\n\r\n", b"x" * 70_000)
        before = wire.transport.paused
        refused.set()
        await wire.settle()
        assert (before, wire.transport.paused) == (True, False)
        await wire.send(b"x" * 130_000 + GET)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await refused.wait()
        await send(start(413, content_length="2"))
        await send(body(b"no"))

    refused = asyncio.Event()
    assert on_a_wire(scene, app=app).statuses == [413, 413]


def test_an_application_that_streams_waits_for_its_reader() -> None:
    """T11: nothing piles up in memory for who does not read."""
    sizes: list[int] = []

    async def scene(wire: Wire) -> None:
        await wire.send(GET)
        wire.connection.pause_writing()
        more.set()
        await wire.settle()
        sizes.append(len(wire.transport.sent))
        wire.connection.resume_writing()
        await wire.settle()
        sizes.append(len(wire.transport.sent))

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start(content_length="4000"))
        await more.wait()
        await send(body(b"x" * 2000, more=True))
        await send(body(b"x" * 2000))

    more = asyncio.Event()
    wire = on_a_wire(scene, app=app)
    assert sizes[0] < 2000
    assert sizes[1] > 4000
    assert wire.is_open


def test_an_application_is_told_that_the_caller_went_away() -> None:
    """ASGI 3.0: `http.disconnect`, before and after the end of the body."""
    told = []

    async def scene(wire: Wire) -> None:
        await wire.send(POST[:-2])
        wire.transport.abort()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            told.append(message["body"])
        told.append(b"gone")
        await send(start())

    assert on_a_wire(scene, app=app).transport.sent == b""
    assert told == [b"hel", b"gone"]
