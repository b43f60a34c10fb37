"""A git server on loopback: `git http-backend` behind a password."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


class GitServer:
    """Serve the bare repositories below a folder to whoever shows the password.

    Args:
        root: Folder of the repositories.
        passwords: What is accepted; may be changed at any time.
        tls: Serve https with this context.
        host: Address of this machine.
    """

    def __init__(
        self, root: Path, passwords: set[str], *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.root = root
        self.passwords = passwords
        self.shown: list[str | None] = []  # the password of each request, in order
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                owner._serve(self, b"")

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding", "") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                owner._serve(self, body)

        self._server = ThreadingHTTPServer((host, 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://{host}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def create(self, name: str) -> None:
        """Make an empty repository that can be pushed to."""
        path = self.root / name
        for words in (
            ["init", "--bare", "-q", "-b", "main", str(path)],
            ["-C", str(path), "config", "http.receivepack", "true"],
        ):
            subprocess.run(["git", *words], check=True, timeout=20)

    def _serve(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        password = _password(request.headers.get("Authorization", ""))
        self.shown.append(password)
        if password not in self.passwords:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="git"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        path, _, query = request.path.partition("?")
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "job",
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(
            ["git", "http-backend"], env=environ, input=body, capture_output=True, check=True, timeout=20
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        request.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


def _password(authorization: str) -> str | None:
    scheme, _, value = authorization.partition(" ")
    return base64.b64decode(value).decode().partition(":")[2] if scheme == "Basic" else None
