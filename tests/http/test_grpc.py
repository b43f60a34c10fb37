"""One gRPC call: against frames of every kind, good and bad."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.http.deadline import Deadline, DeadlineExceededError
from keyless.http.grpc import Answer, call, connect_unix, read_fields, write_field
from keyless.http.hpack import encode_headers

METHOD = "/Service/Method"
GREETING = b"\0\0\0\4\0\0\0\0\0"  # SETTINGS without any


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def message(content: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    return bytes([flag]) + (len(content) if length is None else length).to_bytes(4, "big") + content


OK_HEAD = frame(1, 4, encode_headers([(":status", "200"), ("content-type", "application/grpc")]))


def trailers(status: str, *more: tuple[str, str]) -> bytes:
    return frame(1, 5, encode_headers([("grpc-status", status), *more]))


class Peer:
    """Answer one connection with fixed bytes, and keep what came."""

    def __init__(self, answer: bytes, *, stays: bool = False) -> None:
        self.received = bytearray()
        self._answer = answer
        self._stays = stays
        self.ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._theirs:
            self._theirs.settimeout(5)
            try:
                while not self.received.endswith(b"\0\0\0\0\2hi"):  # the request's message
                    self.received += self._theirs.recv(65_536)
                self._theirs.sendall(self._answer)
                if not self._stays:
                    self._theirs.shutdown(socket.SHUT_WR)
                while piece := self._theirs.recv(65_536):
                    self.received += piece
            except OSError:
                return

    def join(self) -> None:
        self._thread.join(5)


def ask(peer: Peer, *, seconds: float = 5) -> Answer:
    return call(peer.ours, METHOD, b"hi", metadata={"x": "y"}, deadline=Deadline(seconds))


def answered(answer: bytes) -> tuple[int, bytes]:
    done = ask(Peer(answer))
    return done.status, done.message


def test_the_request_is_what_servers_expect() -> None:
    """Preface, settings, headers, one message, and the deadline in words."""
    peer = Peer(GREETING + OK_HEAD + frame(0, 0, message(b"answer")) + trailers("0"))
    done = ask(peer)
    peer.join()

    assert (done.status, done.message) == (0, b"answer")
    assert peer.received.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    for text in (METHOD.encode(), b"application/grpc", b"trailers", b"grpc-timeout", b"m"):
        assert text in peer.received


GOOD: dict[str, Callable[[], bytes]] = {
    "in pieces": lambda: b"".join(frame(0, 0, bytes([byte])) for byte in message(b"answer")),
    "padded": lambda: frame(0, 8, b"\3" + message(b"answer") + b"\0\0\0"),
    "with empty frames between": lambda: frame(0, 0, b"") + frame(0, 0, message(b"answer")) + frame(0, 0, b""),
    "other streams and kinds": lambda: (
        frame(0, 0, b"not ours", stream=3)
        + frame(2, 0, b"\0" * 5)
        + frame(99, 0, b"?")
        + frame(0, 0, message(b"answer"))
    ),
    "a server that is going away after this": lambda: (
        frame(7, 0, struct.pack(">II", 1, 0), stream=0) + frame(0, 0, message(b"answer"))
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_ways_to_send_one_message(name: str) -> None:
    """RFC 9113: padding, empty frames, frames that are not understood, a graceful end."""
    assert answered(GREETING + OK_HEAD + GOOD[name]() + trailers("0")) == (0, b"answer")


def test_headers_in_several_frames() -> None:
    """Sections 6.2 and 6.10: priority, padding and continuation."""
    block = encode_headers([(":status", "200"), ("x", "y" * 200)])
    head = (
        frame(1, 0x28, b"\2" + b"\0" * 5 + block[:50] + b"\0\0") + frame(9, 0, block[50:90]) + frame(9, 4, block[90:])
    )

    assert answered(GREETING + head + frame(0, 0, message(b"answer")) + trailers("0")) == (0, b"answer")


def test_settings_and_pings_are_answered_and_windows_opened() -> None:
    """Sections 6.5.3, 6.7 and 6.9: a server that waits for these would wait for ever."""
    peer = Peer(
        GREETING + frame(6, 0, b"12345678", stream=0) + OK_HEAD + frame(0, 0, message(b"answer")) + trailers("0")
    )
    ask(peer)
    peer.join()

    assert frame(4, 1, b"", stream=0) in peer.received
    assert frame(6, 1, b"12345678", stream=0) in peer.received
    assert frame(8, 0, struct.pack(">I", 11), stream=0) in peer.received
    assert frame(8, 0, struct.pack(">I", 11)) in peer.received


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (frame(1, 5, encode_headers([(":status", "200"), ("grpc-status", "7"), ("grpc-message", "no")])), 7),
        (OK_HEAD + trailers("14"), 14),
        (OK_HEAD + trailers("x"), 2),
        (frame(1, 5, encode_headers([(":status", "404")])), 12),
        (frame(1, 5, encode_headers([(":status", "503")])), 14),
        (frame(1, 5, encode_headers([(":status", "418")])), 2),
        (frame(3, 0, struct.pack(">I", 7)), 14),
        (frame(3, 0, struct.pack(">I", 1)), 13),
        (frame(7, 0, struct.pack(">II", 0, 0), stream=0), 14),
        (b"", 14),
        (OK_HEAD, 14),
    ],
)
def test_failures_have_a_status(answer: bytes, status: int) -> None:
    """In trailers, in the only headers, by HTTP, by a reset, by a server that goes."""
    assert answered(GREETING + answer) == (status, b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        GREETING + b"\xff\xff\xff\0\0\0\0\0\1",
        GREETING + frame(1, 4, b"\x80"),
        GREETING + frame(1, 0, b"") + frame(0, 0, b""),
        GREETING + frame(0, 8, b"\x09ab"),
        GREETING + OK_HEAD + frame(0, 0, b"\0\0") + trailers("0"),
        GREETING + OK_HEAD + trailers("0"),
        GREETING + OK_HEAD + frame(0, 0, message(b"ab", flag=1)) + trailers("0"),
        GREETING + OK_HEAD + frame(0, 0, message(b"ab", length=7)) + trailers("0"),
        GREETING + OK_HEAD + frame(0, 0, message(b"a") * 2) + trailers("0"),
        GREETING[:5],
        GREETING + OK_HEAD + frame(0, 0, bytes(16_384)) * 65,
    ],
    ids=range(12),
)
def test_what_is_not_grpc(answer: bytes) -> None:
    """One kind of error, whatever it is."""
    with pytest.raises(ValueError, match=r"."):
        answered(answer)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_end_in_an_answer_or_an_error(answer: bytes, greeted: bool) -> None:
    """Never a crash, never a hang."""
    try:
        status, content = answered((GREETING if greeted else b"") + answer)
    except ValueError:
        return
    assert status or not content


def test_a_server_that_says_nothing_ends_with_the_deadline() -> None:
    """The deadline is for everything."""
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        ask(Peer(GREETING, stays=True), seconds=0.3)

    assert time.monotonic() - begun < 3


def test_unix_sockets(tmp_path: Path) -> None:
    """One that is there, one that is not, one that nobody serves, a path that is too long."""
    path = tmp_path / "s"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    with pytest.raises(ConnectionRefusedError):
        connect_unix(str(path), Deadline(1))
    listener.listen()
    connect_unix(str(path), Deadline(1)).close()
    listener.close()

    for wrong in (tmp_path / "absent", tmp_path / ("x" * 200)):
        with pytest.raises(OSError, match=r"."):
            connect_unix(str(wrong), Deadline(1))


@given(st.lists(st.tuples(st.integers(1, 2000), st.text(max_size=300)), max_size=6))
def test_fields_are_read_back(fields: list[tuple[int, str]]) -> None:
    """Numbers and lengths of more than one byte."""
    written = b"".join(write_field(number, text.encode()) for number, text in fields)

    assert [(number, content.decode()) for number, content in read_fields(written)] == fields


def test_other_kinds_of_fields_are_passed_over() -> None:
    """A later version of the message may have more."""
    written = b"\x08\x96\x01" + b"\x11" + bytes(8) + write_field(2, b"x") + b"\x1d" + bytes(4)

    assert list(read_fields(written)) == [(2, b"x")]


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_a_value_error(content: bytes) -> None:
    """Whatever the agent sends."""
    try:
        assert all(isinstance(number, int) for number, _ in read_fields(content))
    except ValueError:
        return
