"""The frames of one HTTP/2 connection, as much as a single gRPC call takes (RFC 9113).

Settings and pings are answered here; the caller sees headers, data and ends. Windows are opened for everything that
comes, because callers bound what they take.
"""

from __future__ import annotations

from keyless.http.hpack import HeaderDecoder, encode_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from keyless.http.deadline import DeadlineSocket

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # section 3.4
MAX_FRAME_BYTES: Final = 16_384  # what nobody has to ask for (section 4.2)
_MAX_BLOCK_BYTES: Final = 65_536

DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20


class ProtocolError(ValueError):
    """The peer does not speak HTTP/2, or not well."""


class Event:
    """Something that came.

    Args:
        kind: `HEADERS`, `DATA`, `RESET` or `GO_AWAY`.
        stream: Whose it is; of `GO_AWAY` the last stream that is still served.
        headers: Of `HEADERS`.
        data: Of `DATA`.
        code: Why, of `RESET` and `GO_AWAY` (section 7).
        ends: Whether the peer sends no more on this stream.
    """

    __slots__ = ("code", "data", "ends", "headers", "kind", "stream")

    def __init__(
        self,
        kind: int,
        stream: int,
        *,
        headers: list[tuple[str, str]] | None = None,
        data: bytes = b"",
        code: int = 0,
        ends: bool = False,
    ) -> None:
        self.kind = kind
        self.stream = stream
        self.headers = headers or []
        self.data = data
        self.code = code
        self.ends = ends


class Connection:
    """Either end of a connection.

    Args:
        sock: A fresh one, each operation of which is bounded by a deadline.
        is_client: Which end this is.
    """

    def __init__(self, sock: DeadlineSocket, *, is_client: bool) -> None:
        self._sock = sock
        self._reader = sock.makefile()
        self._decoder = HeaderDecoder()
        self._is_client = is_client

    def start(self) -> None:
        """Greet the peer; a server takes the client's greeting first.

        Raises:
            OSError: The connection failed.
            ProtocolError: Something else was said.
        """
        if not self._is_client and self._read(len(PREFACE)) != PREFACE:
            raise ProtocolError("no HTTP/2")
        self._sock.sendall((PREFACE if self._is_client else b"") + _frame(SETTINGS, 0, 0, b""))

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self._sock.close()

    def send_headers(self, stream: int, headers: Iterable[tuple[str, str]], *, ends: bool = False) -> None:
        """Send headers, or trailers, which fit a frame."""
        flags = _END_HEADERS | (_END_STREAM if ends else 0)
        self._sock.sendall(_frame(HEADERS, flags, stream, encode_headers(headers)))

    def send_data(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """Send a message that fits the window which every peer opens: 64 kB, less what was sent before."""
        pieces = [data[start : start + MAX_FRAME_BYTES] for start in range(0, len(data), MAX_FRAME_BYTES)] or [b""]
        for number, piece in enumerate(pieces, 1):
            flags = _END_STREAM if ends and number == len(pieces) else 0
            self._sock.sendall(_frame(DATA, flags, stream, piece))

    def receive(self) -> Event | None:
        """Return what comes next, or `None` when the peer has closed.

        Raises:
            OSError: The connection failed, or the deadline passed.
            ProtocolError: It is not HTTP/2.
        """
        while True:
            head = self._read(9, at_end=b"")
            if not head:
                return None
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big") & 0x7FFF_FFFF
            if length > MAX_FRAME_BYTES:
                raise ProtocolError("a frame larger than was offered")
            payload = self._read(length)
            if kind == SETTINGS and not flags & _ACK:
                self._acknowledge(_frame(SETTINGS, _ACK, 0, b""))
            elif kind == PING and not flags & _ACK:
                self._acknowledge(_frame(PING, _ACK, 0, payload))
            elif kind == RESET:
                return Event(RESET, stream, code=_number(payload), ends=True)
            elif kind == GO_AWAY:
                return Event(GO_AWAY, _number(payload) & 0x7FFF_FFFF, code=_number(payload[4:]))
            elif kind == HEADERS:
                return self._headers(stream, flags, payload)
            elif kind == DATA:
                return self._data(stream, flags, payload)

    def _headers(self, stream: int, flags: int, payload: bytes) -> Event:
        block = _unpadded(flags, payload)
        if flags & _PRIORITY:
            block = block[5:]
        done = bool(flags & _END_HEADERS)
        while not done:  # section 6.10: nothing may come between
            head = self._read(9)
            length = int.from_bytes(head[:3], "big")
            if head[3] != CONTINUATION or len(block) + length > _MAX_BLOCK_BYTES:
                raise ProtocolError("headers without an end")
            block += self._read(length)
            done = bool(head[4] & _END_HEADERS)
        return Event(HEADERS, stream, headers=self._decoder.decode(block), ends=bool(flags & _END_STREAM))

    def _data(self, stream: int, flags: int, payload: bytes) -> Event:
        if payload:
            more = len(payload).to_bytes(4, "big")
            updates = _frame(WINDOW_UPDATE, 0, 0, more)
            if not flags & _END_STREAM:
                updates += _frame(WINDOW_UPDATE, 0, stream, more)
            self._acknowledge(updates)
        return Event(DATA, stream, data=_unpadded(flags, payload), ends=bool(flags & _END_STREAM))

    def _acknowledge(self, frames: bytes) -> None:
        try:
            self._sock.sendall(frames)
        except ConnectionError:
            return  # a peer that has said everything may be gone; what it said is still to be read

    def _read(self, length: int, *, at_end: bytes | None = None) -> bytes:
        data = self._reader.read(length)
        if not data and at_end is not None:
            return at_end
        if len(data) < length:
            raise ProtocolError("the connection ended in the middle of a frame")
        return data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _number(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "big")


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ProtocolError("more padding than frame")
    return payload[1 : len(payload) - payload[0]]
