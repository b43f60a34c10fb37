"""A real introspection endpoint and key-set address on loopback, which answers what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass
class Endpoint:
    """What to answer, and what was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b'{"active": false}'
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    keep_alive: bool = True
    drop_next: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)

    def answer(self, members: dict[str, object], *, status: int = 200) -> None:
        """Answer this JSON object from now on."""
        self.status, self.body = status, json.dumps(members).encode()


@contextmanager
def serve_endpoint() -> Iterator[Endpoint]:
    """Run the endpoint until the block ends."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            endpoint.connections.add(self.client_address)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            endpoint.asked.append({"headers": dict(self.headers), "form": parse_qs(body, strict_parsing=True)})
            if endpoint.drop_next:
                endpoint.drop_next = False
                self.close_connection = True
                return
            time.sleep(endpoint.delay_seconds)
            self._send()

        def do_GET(self) -> None:
            endpoint.asked.append({"path": self.path})
            self._send()

        def _send(self) -> None:
            body = endpoint.body  # once: a test may give another one meanwhile
            self.send_response(endpoint.status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in endpoint.headers.items():
                self.send_header(name, value)
            if not endpoint.keep_alive:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # with the default of 5, a burst of connections waits for a second

    server = Server(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
