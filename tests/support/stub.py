"""A scripted HTTP server on loopback that can behave badly: late, in drops, with garbage, or with a reset."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Answer:
    """What the server does with one request.

    Args:
        status: HTTP status code.
        body: Sent as it is; other objects than bytes as JSON.
        headers: Added to the answer; `Content-Length` is made unless given.
        delay_seconds: Wait before anything is sent.
        drip_seconds: Wait before every single byte of the body.
        raw: Sent instead of everything above, then the connection closes.
        resets: Close with a TCP reset instead of an answer.
        hangs: Never answer, until the server stops.
    """

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    raw: bytes | None = None
    resets: bool = False
    hangs: bool = False


@dataclass(frozen=True)
class Recorded:
    """A request that came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def json(self) -> dict[str, object]:
        parsed: dict[str, object] = json.loads(self.body)
        return parsed


Script = Answer | Callable[[Recorded], Answer]


class StubServer:
    """Serve scripted answers by path until the end of a `with` block.

    Args:
        tls: Serve https with this context.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._scripts: dict[str, list[Script]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.requests: list[Recorded] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(timeout=5)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def on(self, path: str, *scripts: Script) -> None:
        """Answer requests for a path in this order; the last one again and again."""
        self._scripts[path] = list(scripts)

    def count(self, path: str) -> int:
        """Return how many requests came for a path."""
        return sum(request.path == path for request in self.requests)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.closing(connection):
            connection.settimeout(20)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            elif connection.recv(1, socket.MSG_PEEK) == b"\x16":  # a TLS handshake: answered as real servers do
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            with contextlib.closing(connection):
                request = _read_request(connection)
                if request is not None:
                    self._perform(connection, self._next(request))

    def _next(self, request: Recorded) -> Answer:
        with self._lock:
            self.requests.append(request)
            scripts = self._scripts.get(request.path, [Answer(404, {"error": "no script"})])
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return script if isinstance(script, Answer) else script(request)

    def _perform(self, connection: socket.socket, answer: Answer) -> None:
        if answer.hangs:
            self._stop.wait()
            return
        if answer.delay_seconds:
            self._stop.wait(answer.delay_seconds)
        if answer.resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if answer.raw is not None:
            connection.sendall(answer.raw)
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
        head = f"HTTP/1.1 {answer.status} Status\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        if not answer.drip_seconds:
            connection.sendall(head.encode("latin-1") + body)
            return
        connection.sendall(head.encode("latin-1"))
        for byte in body:
            if self._stop.wait(answer.drip_seconds):
                return
            connection.sendall(bytes([byte]))


def _read_request(connection: socket.socket) -> Recorded | None:
    with connection.makefile("rb") as reader:
        line = reader.readline().decode("latin-1").split()
        if len(line) != 3:
            return None
        headers: dict[str, str] = {}
        while (header := reader.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", "0")))
    return Recorded(line[0], line[1], headers, body)
