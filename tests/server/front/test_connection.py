"""Bytes to requests and back, whatever the bytes are and however they come (RFC 9112)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.server.front.connection import MAX_HEADERS, MAX_QUEUED, Connection
from keyless.server.front.requests import MAX_HEAD_BYTES
from tests.server.front.wire import Wire, anonymous, open_wire, token_request

TOKEN = token_request(b"a=b")
CHUNKED = (
    b"POST /oauth/token HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\na=b\r\n5\r\n&c=dd\r\n0\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n"
)
GET = b"GET /healthz?a=%20b HTTP/1.1\r\nHost: hub\r\n\r\n"
POST = b"POST /elsewhere HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello"
OLD = b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
UPGRADE = b"GET /up HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
NONE = b"\x16\x03\x01\x02\x00\x01\x00\r\n"
NO_LENGTH = b"POST /oauth/token HTTP/1.1\r\nHost: hub\r\nContent-Length: 1x\r\n\r\n"
LONG = token_request(b"x" * (64 * 1024 + 1))
ANY = (TOKEN, CHUNKED, GET, POST, OLD, LAST, UPGRADE, NONE, NO_LENGTH)


def on_a_wire(scene: Callable[[Wire], Awaitable[None]], **options: Any) -> Wire:
    """Play a scene with a connection and return it."""

    async def play() -> Wire:
        wire = open_wire(**options)
        await scene(wire)
        await wire.settle()
        return wire

    return asyncio.run(play())


def sent(*pieces: bytes, **options: Any) -> Wire:
    """Send pieces and return the connection."""
    return on_a_wire(lambda wire: wire.send(*pieces), **options)


@given(st.lists(st.sampled_from(ANY), min_size=1, max_size=5), st.data())
def test_where_the_bytes_are_cut_changes_nothing(requests: list[bytes], data: st.DataObject) -> None:
    """V01, D17: any requests in a row, whole or in any pieces, have the same answers in the same order."""
    stream = b"".join(requests)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    whole = sent(stream)
    cut = sent(*(stream[a:b] for a, b in pairwise([0, *cuts, len(stream)]) if a < b))
    assert anonymous(cut.transport.sent) == anonymous(whole.transport.sent)
    assert cut.door.bodies == whole.door.bodies
    assert cut.is_open == whole.is_open
    ends = [number for number, request in enumerate(requests) if request in {OLD, LAST, UPGRADE, NONE, NO_LENGTH}]
    assert len(whole.answers) == (ends[0] + 1 if ends else len(requests))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4).map(sorted))
def test_bytes_that_are_nothing_get_at_most_one_answer(noise: bytes, cuts: list[int]) -> None:
    """D9: no input makes an error of ours, and none reaches the door that is not a request."""
    wire = sent(*(noise[a:b] for a, b in pairwise([0, *cuts, len(noise)]) if a < b))
    assert [s for s in wire.statuses if s not in {200, 400, 431}] == []
    assert wire.door.bodies == []


@given(st.integers(0, len(CHUNKED) - 1), st.integers(0, 255))
def test_one_changed_byte_is_never_an_error_of_ours(position: int, value: int) -> None:
    """D9: a chunked request with any byte of it changed is served, refused, or waited for."""
    changed = CHUNKED[:position] + bytes([value]) + CHUNKED[position + 1 :]
    wire = sent(changed)
    assert set(wire.statuses) <= {200, 400, 431}
    assert all(len(body) <= len(CHUNKED) for body in wire.door.bodies)


EVENTS = ("piece", "answer", "stop reading", "read on", "time", "end", "break", "server stops")
EVENTS_IN_A_ROW = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(1, 200)), max_size=40)


async def happen(wire: Wire, event: str, number: int, left: bytes) -> bytes:
    """Let something happen to a connection; return what of the caller's bytes is still to come."""
    transport, connection = wire.transport, wire.connection
    is_read = not (transport.paused or transport.is_closing())
    match event:
        case "piece" if is_read and left:
            connection.data_received(left[:number])
            left = left[number:]
        case "answer" if wire.door.held:
            wire.door.held.pop(0)()
        case "stop reading":
            connection.pause_writing()
        case "read on":
            connection.resume_writing()
        case "time":
            await wire.wait(number / 5)
        case "end" if is_read and not connection.eof_received():
            transport.close()
        case "break":
            transport.abort()
        case "server stops":
            wire.stop()
    await wire.settle()
    return left


@given(st.lists(st.sampled_from(ANY), min_size=1, max_size=6), EVENTS_IN_A_ROW)
def test_whatever_happens_in_whatever_order(requests: list[bytes], events: list[tuple[str, int]]) -> None:
    """D9, D17: answers are whole and in order, none comes twice, and at the end nothing is left over."""

    async def scene(wire: Wire) -> None:
        left = b"".join(requests)
        for event, number in events:
            if not wire.connection.is_lost:
                left = await happen(wire, event, number, left)
        for _ in range(len(requests)):
            await happen(wire, "read on", 0, b"")
            await happen(wire, "answer", 0, b"")
        wire.transport.abort()
        await wire.settle()
        for reply in wire.door.held:
            reply()

    wire = on_a_wire(scene, holds=True)
    assert len(wire.answers) <= len(requests)
    assert wire.front.under_way == 0
    assert not wire.state.connections
    assert not wire.state.tasks
    said = [json.loads(body).get("path", "short") for status, _, body in wire.answers if status == 200]
    asked = [path_of(request) for request in requests]
    assert said == asked[: len(said)]


def path_of(request: bytes) -> str | None:
    """Return what a request of `ANY` asks for, `None` for one that is refused."""
    if request in {NONE, NO_LENGTH}:
        return None
    path = request.split(b" ")[1].partition(b"?")[0].decode()
    return "short" if path == "/oauth/token" else path


HEAD = b"POST /oauth/token HTTP/1.1\r\nHost: hub\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: hub\r\n\r\n"
AMBIGUOUS = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\na=bc",
    "the same length twice": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\na=b",
    "a list of lengths": HEAD + b"Content-Length: 3, 3\r\n\r\na=b",
    "a length with a sign": HEAD + b"Content-Length: +3\r\n\r\na=b",
    "a negative length": HEAD + b"Content-Length: -3\r\n\r\na=b",
    "a hexadecimal length": HEAD + b"Content-Length: 0x3\r\n\r\na=b",
    "an empty length": HEAD + b"Content-Length:\r\n\r\n",
    "a length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "something after chunked": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "almost chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked after a control character": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /oauth/token HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"POST /oauth/token HTTP/1.1\nHost: hub\nContent-Length: 0\n\n",
    "one bare line feed": b"POST /oauth/token HTTP/1.1\r\nHost: hub\nContent-Length: 0\r\n\r\n",
    "a bare line feed at the end": HEAD + b"Content-Length: 0\r\n\n",
    "a bare carriage return": b"POST /oauth/token HTTP/1.1\r\nHost: h\rub\r\nContent-Length: 0\r\n\r\n",
    "a folded line": HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a blank before the first header": b"POST /oauth/token HTTP/1.1\r\n Host: hub\r\n\r\n",
    "a null": HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a name with a blank": HEAD + b"X y: a\r\nContent-Length: 0\r\n\r\n",
    "no name": HEAD + b": a\r\nContent-Length: 0\r\n\r\n",
    "a chunk that ends in a line feed": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\na=b\r\n0\r\n\r\n",
    "a chunk longer than it says": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\na=bX0\r\n\r\n",
    "a chunk size that is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\na=b\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "no host": b"POST /oauth/token HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two hosts": HEAD + b"Host: other\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\nHost: hub\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT hub:443 HTTP/1.1\r\nHost: hub\r\n\r\n",
    "an upgrade with a body": HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\na=b",
    "no method": b"EXCHANGE /oauth/token HTTP/1.1\r\nHost: hub\r\n\r\n",
    "a target with a control character": b"GET /a\x01b HTTP/1.1\r\nHost: hub\r\n\r\n",
    "no target": b"GET hub HTTP/1.1\r\nHost: hub\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_can_be_read_in_two_ways_is_not_read(request_bytes: bytes) -> None:
    """T11, RFC 9112 section 11.2: one 400, the connection ends, and nothing behind it is a request."""
    for pieces in ((request_bytes + SMUGGLED,), (request_bytes, SMUGGLED), tuple(bytes([b]) for b in request_bytes)):
        wire = sent(*pieces)
        assert wire.statuses == [400]
        assert not wire.is_open
        assert wire.answers[0][1]["connection"] == "close"
        assert json.loads(wire.answers[0][2])["error"] == "invalid_request"
        assert wire.door.bodies == []


def test_trailers_are_no_headers() -> None:
    """T105, RFC 9110 section 6.5.1: what follows a body in chunks says nothing about who sent it."""
    wire = sent(CHUNKED, CHUNKED.replace(b"/oauth/token", b"/elsewhere"))
    assert wire.door.bodies == [b"a=b&c=dd"]
    assert "x-forwarded-for" not in dict(json.loads(wire.answers[1][2])["headers"])


def test_answers_keep_the_order_of_their_requests() -> None:
    """RFC 9112 section 9.3.2: nobody overtakes an exchange that is being written; the refusal of noise comes last."""

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN + GET + token_request(b"c=d") + NONE)
        assert wire.answers == []
        assert wire.transport.paused
        wire.door.held.pop()()
        await wire.settle()
        assert wire.statuses == [200, 200]
        assert wire.door.bodies == [b"a=b", b"c=d"]
        wire.door.held.pop()()

    wire = on_a_wire(scene, holds=True)
    assert wire.statuses == [200, 200, 200, 400]
    assert not wire.is_open


def test_more_requests_at_once_than_are_kept_end_the_connection() -> None:
    """T11: a connection holds so many requests and no more; those are answered."""
    wire = sent(TOKEN * (MAX_QUEUED * 3), holds=True)
    assert len(wire.door.bodies) == 1

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN * (MAX_QUEUED * 3))

    wire = on_a_wire(scene)
    assert wire.statuses == [200] * (MAX_QUEUED + 1)
    assert not wire.is_open


BIG = b"X: " + b"a" * (MAX_HEAD_BYTES + 2000) + b"\r\n"
TOO_LARGE = {
    "one header": HEAD + BIG + b"\r\n",
    "many headers": HEAD + b"X: a\r\n" * (MAX_HEADERS + 1) + b"\r\n",
    "the target": b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: hub\r\n\r\n",
    "a head without end": HEAD + BIG,
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + BIG + BIG,
    "what stands beside a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;" + b"a" * (MAX_HEAD_BYTES + 200),
}


@pytest.mark.parametrize("request_bytes", TOO_LARGE.values(), ids=TOO_LARGE.keys())
@pytest.mark.parametrize("size", [1000, 50_000])
def test_a_head_is_not_read_without_end(request_bytes: bytes, size: int) -> None:
    """T11: 64 KiB and 128 headers, in one piece or in many, before and after the body."""
    wire = sent(*(request_bytes[i : i + size] for i in range(0, len(request_bytes), size)))
    assert wire.statuses == [431]
    assert not wire.is_open
    assert wire.door.bodies == []


@pytest.mark.parametrize("name", ["one header", "many headers", "the target"])
def test_a_large_head_in_one_piece_is_a_large_head(name: str) -> None:
    """T11: what is whole when it is counted is counted, too."""
    wire = sent(TOO_LARGE[name] + GET)
    assert (wire.statuses, wire.is_open) == ([431], False)


def test_a_large_body_behind_a_small_head_is_no_large_head() -> None:
    """V01: what is in one piece with a body is counted for itself."""
    wire = sent(token_request(b"x" * 64 * 1024) + GET)
    assert wire.statuses == [200, 200]


@pytest.mark.parametrize("size", [1000, 1_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_refused_and_the_next_request_served(size: int, *, chunked: bool) -> None:
    """V01: 64 KiB, by announcement or in fact; the rest is thrown away, not read as a request."""
    request = LONG
    if chunked:
        request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n10001\r\n" + b"x" * 0x10001 + b"\r\n0\r\n\r\n"
    wire = sent(*(request[i : i + size] for i in range(0, len(request), size)), GET)
    assert wire.statuses == [400, 200]
    assert b"BodyTooLargeError" in wire.answers[0][2]
    assert wire.door.bodies == []
    assert wire.is_open


def test_a_piece_of_a_request_is_waited_for_and_not_for_ever() -> None:
    """T11: twenty seconds for a head, counted from its first byte, however often another one comes."""

    async def scene(wire: Wire) -> None:
        for byte in HEAD[:18]:
            await wire.send(bytes([byte]))
            await wire.wait(1)
        assert wire.answers == []
        await wire.wait(4)

    wire = on_a_wire(scene)
    assert wire.statuses == [408]
    assert not wire.is_open


def test_a_body_is_waited_for_and_not_for_ever() -> None:
    """T11: ten seconds for the body of an exchange; the connection is good for the next one when the rest has come."""

    async def scene(wire: Wire) -> None:
        await wire.send(LONG[:-70_000], TOKEN[:-1])
        for _ in range(11):
            await wire.wait(1)

    wire = on_a_wire(scene)
    assert wire.statuses == [400]
    assert "within 10 s" in json.loads(wire.answers[0][2])["text"]


def test_the_rest_of_a_body_that_came_too_late_is_no_request() -> None:
    """T11: it belongs to the request that was refused; what comes after it is the next one."""

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN[:-1])
        await wire.wait(11)
        assert wire.statuses == [400]
        await wire.send(TOKEN[-1:] + GET)

    assert on_a_wire(scene).statuses == [400, 200]


def test_who_says_nothing_is_hung_up_on_without_a_word() -> None:
    """T11: thirty seconds at the beginning, 75 between requests; an exchange that takes longer ends nothing."""

    async def silent(wire: Wire) -> None:
        await wire.wait(31)

    wire = on_a_wire(silent)
    assert (wire.answers, wire.is_open) == ([], False)

    async def between(wire: Wire) -> None:
        await wire.wait(20)
        await wire.send(TOKEN)
        await wire.wait(100)
        wire.door.held.pop()()
        await wire.wait(74)
        assert wire.is_open
        await wire.wait(2)

    wire = on_a_wire(between, holds=True)
    assert (wire.statuses, wire.is_open) == ([200], False)


def test_nobody_is_blamed_for_a_sleep_of_ours() -> None:
    """T53: after a pause of the whole process, what was sent meanwhile is read before anybody's time is up."""

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN[:-1])
        wire.front.look_after(wire.front.now + 300)
        await wire.send(TOKEN[-1:])

    assert on_a_wire(scene).statuses == [200]


def test_who_does_not_read_is_not_served_on() -> None:
    """T11: nothing is read from and nothing more begun for who takes no answers; then he is cut off."""

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN + TOKEN + TOKEN)
        wire.connection.pause_writing()
        wire.door.held.pop()()
        await wire.settle()
        assert wire.transport.paused
        assert len(wire.door.bodies) == 1
        wire.connection.resume_writing()
        await wire.settle()
        assert len(wire.door.bodies) == 2
        wire.connection.pause_writing()
        wire.door.held.pop()()
        await wire.wait(31)

    wire = on_a_wire(scene, holds=True)
    assert len(wire.door.bodies) == 2
    assert wire.transport.aborted


def test_who_sends_no_more_still_gets_his_answers() -> None:
    """RFC 9112 section 9.6: half a connection is enough to read from."""

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN + TOKEN)
        assert wire.connection.eof_received() is True
        wire.door.held.pop()()
        await wire.settle()
        wire.door.held.pop()()

    wire = on_a_wire(scene, holds=True)
    assert wire.statuses == [200, 200]
    assert wire.answers[1][1]["connection"] == "close"
    assert not wire.is_open

    async def in_the_middle(wire: Wire) -> None:
        await wire.send(TOKEN[:-1])
        assert wire.connection.eof_received() is False

    assert on_a_wire(in_the_middle).door.bodies == []


def test_nothing_is_begun_for_who_went_away() -> None:
    """V18: an id token is not spent for a caller who is gone before his turn."""

    async def scene(wire: Wire) -> None:
        wire.connection.data_received(TOKEN + TOKEN)
        wire.transport.abort()
        await wire.settle()

    wire = on_a_wire(scene)
    assert wire.door.bodies == []
    assert wire.front.under_way == 0
    assert not wire.state.connections


def test_an_answer_for_who_went_away_is_dropped() -> None:
    """D9: in the middle of an exchange, which goes on."""

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN)
        wire.transport.abort()
        await wire.settle()
        wire.door.held.pop()()

    wire = on_a_wire(scene, holds=True)
    assert wire.transport.sent == b""
    assert wire.front.under_way == 0


def test_a_server_that_stops_answers_what_has_begun() -> None:
    """D17: the answer says that the connection ends."""

    async def scene(wire: Wire) -> None:
        await wire.send(TOKEN + GET)
        wire.stop()
        wire.door.held.pop()()

    wire = on_a_wire(scene, holds=True)
    assert wire.statuses == [200]
    assert wire.answers[0][1]["connection"] == "close"
    assert not wire.is_open


@pytest.mark.parametrize("before", [b"", GET, TOKEN[:30]], ids=["fresh", "kept open", "half a head"])
def test_a_server_that_stops_answers_what_is_on_its_way(before: bytes) -> None:
    """D17: who has connected, or sends his next request in that very moment, is not cut off."""

    async def scene(wire: Wire) -> None:
        await wire.send(before)
        wire.stop()
        assert wire.is_open
        await wire.send(TOKEN[30:] if before == TOKEN[:30] else TOKEN)

    wire = on_a_wire(scene)
    assert wire.statuses[-1] == 200
    assert wire.answers[-1][1]["connection"] == "close"
    assert not wire.is_open


def test_a_connection_that_asks_nothing_ends_soon_after_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """D17: a second later; also one that was accepted in the very moment."""
    monkeypatch.setattr("keyless.server.front.connection.GRACE_SECONDS", 0.001)

    async def scene(wire: Wire) -> None:
        wire.stop()
        late = wire.another()
        while wire.is_open or late.is_open:  # noqa: ASYNC110 - the clock is what is waited for
            await asyncio.sleep(0.001)

    assert on_a_wire(scene).answers == []


def test_a_refusal_is_readable_for_who_is_still_sending() -> None:
    """RFC 9112 section 9.6: the end of our side first; the connection is closed when he ends his, or after a while."""
    wire = sent(NO_LENGTH, b"more", b"and more")
    assert wire.transport.ended
    assert not wire.transport.is_closing()

    async def scene(wire: Wire) -> None:
        await wire.send(NO_LENGTH)
        assert wire.connection.eof_received() is False
        await wire.wait(4)

    assert on_a_wire(scene).transport.aborted


def test_a_connection_is_made_for_what_uvicorn_gives() -> None:
    """D17: uvicorn's server makes our connections, keeps them in its set and asks each to end."""

    async def scene(wire: Wire) -> None:
        assert wire.state.connections == {wire.connection}
        await wire.send(GET)

    wire = on_a_wire(scene, short=False)
    assert isinstance(wire.connection, Connection)
    assert json.loads(wire.answers[0][2])["client"] == ["192.0.2.7", 4711]
