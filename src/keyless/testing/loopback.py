"""A small threaded HTTP server on 127.0.0.1 with a free port: the ground under the fakes."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from keyless.testing.faults import send

POLL_SECONDS: Final = 0.02  # how long a stop may take; the standard half second would be most of a test's time


class _Server(ThreadingHTTPServer):
    owner: LoopbackServer
    request_queue_size = 128  # a test with 32 threads must not meet a full backlog

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client hang up in peace; show anything else."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "keyless-testing"
    sys_version = ""
    timeout = 30  # seconds; an idle connection must not outlive the test

    def do_GET(self) -> None:
        """Hand the request to the fake that owns the server."""
        self.server.owner.answer(self)

    do_POST = do_GET  # noqa: N815  # http.server finds methods by these names
    do_PUT = do_GET  # noqa: N815  # as above
    do_HEAD = do_GET  # noqa: N815  # as above

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Stay silent: a test's output belongs to the test."""


class LoopbackServer:
    """Serve on loopback between `start()` and `close()`, or inside a `with` block.

    A subclass implements `answer`. It runs on one thread per connection.
    """

    def __init__(self) -> None:
        self.closing: Final = threading.Event()
        self._server: Final = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread: threading.Thread | None = None

    @property
    def origin(self) -> str:
        """Return scheme, host and port, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Begin to serve; the address was known before."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._server.serve_forever,
                kwargs={"poll_interval": POLL_SECONDS},
                name=type(self).__name__,
                daemon=True,
            )
            self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving and release the port; answers that take their time are cut off."""
        self.closing.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request; the base class knows no path."""
        send_json(handler, 404, {"message": "no such path"})


def send_json(handler: BaseHTTPRequestHandler, status: int, value: Mapping[str, object], **headers: str) -> None:
    """Send a JSON object."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
        send(handler, status, "application/json; charset=utf-8", json.dumps(value).encode(), **headers)
