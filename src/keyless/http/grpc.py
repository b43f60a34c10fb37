"""One gRPC call over a connection of its own (gRPC documentation, "gRPC over HTTP2"): one message out, one back."""

from __future__ import annotations

import socket

from keyless.http.deadline import DeadlineExceededError, DeadlineSocket
from keyless.http.http2 import DATA, GO_AWAY, HEADERS, RESET, Connection, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

MAX_MESSAGE_BYTES: Final = 1_048_576
# gRPC documentation, "Status codes and their use in gRPC".
OK, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, PERMISSION_DENIED = 0, 2, 3, 4, 7
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 8, 12, 13, 14
# "HTTP to gRPC Status Code Mapping", for what answers without being gRPC.
_OF_HTTP: Final = {"401": 16, "403": PERMISSION_DENIED, "404": UNIMPLEMENTED, "429": UNAVAILABLE, "503": UNAVAILABLE}
_OF_RESET: Final = {7: UNAVAILABLE, 11: RESOURCE_EXHAUSTED}  # REFUSED_STREAM, ENHANCE_YOUR_CALM
_STREAM: Final = 1


class Answer:
    """What a call ended with.

    Args:
        status: 0 for success.
        message: What came back; empty without success.
    """

    __slots__ = ("message", "status")

    def __init__(self, status: int, message: bytes = b"") -> None:
        self.status = status
        self.message = message


def connect_unix(path: str, deadline: Deadline) -> socket.socket:
    """Connect to a socket of this machine by its path.

    Raises:
        DeadlineExceededError: Nobody took the connection in time.
        OSError: There is none, it is not ours to use, or this system has no such sockets.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError("this system has no Unix sockets")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(deadline.check())
        sock.connect(path)
    except TimeoutError:
        sock.close()
        raise DeadlineExceededError(f"no connection within {deadline.seconds:g} s") from None
    except BaseException:
        sock.close()
        raise
    return sock


def call(
    sock: socket.socket, method: str, message: bytes, *, metadata: Mapping[str, str], deadline: Deadline
) -> Answer:
    """Call a method and return its answer; the connection is closed.

    Args:
        sock: A fresh connection.
        method: `/Service/Method`.
        message: The request in protobuf, some kilobytes at most.
        metadata: Headers by lower-case name.
        deadline: For everything; the server is told it too.

    Raises:
        DeadlineExceededError: It took too long.
        OSError: The connection failed.
        ValueError: What answered does not speak gRPC.
    """
    connection = Connection(DeadlineSocket(sock, deadline), is_client=True)
    try:
        connection.start()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
            "grpc-timeout": f"{max(1, int(deadline.check() * 1000))}m",
            **metadata,
        }
        connection.send_headers(_STREAM, headers.items())
        connection.send_data(_STREAM, b"\0" + len(message).to_bytes(4, "big") + message, ends=True)
        return _answer(connection)
    finally:
        connection.close()


def _answer(connection: Connection) -> Answer:
    seen: dict[str, str] = {}
    received = bytearray()
    while (event := connection.receive()) is not None:
        if event.kind == GO_AWAY and event.stream < _STREAM:
            return Answer(UNAVAILABLE)
        if event.stream != _STREAM or event.kind == GO_AWAY:
            continue
        if event.kind == RESET:
            return Answer(_OF_RESET.get(event.code, INTERNAL))
        if event.kind == HEADERS:
            seen.update(event.headers)
        elif event.kind == DATA:
            received += event.data
            if len(received) > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"more than {MAX_MESSAGE_BYTES} bytes")
        if event.ends:
            return _finished(seen, bytes(received))
    return Answer(UNAVAILABLE)


def _finished(headers: Mapping[str, str], received: bytes) -> Answer:
    text = headers.get("grpc-status", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 3:
        http = headers.get(":status", "")
        return Answer(UNKNOWN if http == "200" else _OF_HTTP.get(http, UNKNOWN))
    if int(text) != OK:
        return Answer(int(text))
    if len(received) < 5 or received[0] != 0 or int.from_bytes(received[1:5], "big") != len(received) - 5:
        raise ProtocolError("not one uncompressed message")
    return Answer(OK, received[5:])


def write_field(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message that has a length: a string, bytes, or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 128:
        encoded.append(value % 128 + 128)
        value //= 128
    encoded.append(value)
    return bytes(encoded)


def read_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the fields that have a length: strings, bytes and messages. Others are passed over.

    Raises:
        ValueError: It is not a protobuf message.
    """
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        kind = tag & 7
        if kind == 0:
            _, position = _read_varint(message, position)
            continue
        if kind in {1, 5}:
            position += 8 if kind == 1 else 4
            continue
        length, position = _read_varint(message, position)
        content = message[position : position + length]
        position += length
        if kind != 2 or len(content) < length:
            raise ValueError("not a protobuf message")
        yield tag >> 3, content


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, position
    raise ValueError("not a protobuf message")
