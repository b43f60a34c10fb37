"""A CONNECT proxy on loopback that sends every tunnel to one place."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Self


class ConnectProxy:
    """Answer CONNECT with a status, and for 200 join the client with `target_port` on loopback.

    Args:
        target_port: Where every tunnel ends, whatever the client asked for.
        status: Answer to CONNECT.
    """

    def __init__(self, target_port: int, *, status: int = 200) -> None:
        self._target_port = target_port
        self._status = status
        self.heads: list[str] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(1)
                self.heads.append(head.decode("ascii"))
                client.sendall(f"HTTP/1.1 {self._status} Status\r\n\r\n".encode())
                if self._status == 200:
                    with socket.create_connection(("127.0.0.1", self._target_port)) as target:
                        _join(client, target)


def _join(one: socket.socket, other: socket.socket) -> None:
    while True:
        for ready in select.select([one, other], [], [], 10)[0]:
            piece = ready.recv(65_536)
            if not piece:
                return
            (other if ready is one else one).sendall(piece)
