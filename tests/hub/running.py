"""A hub behind a real uvicorn on loopback, tokens that say what they are good for, and a client for raw paths."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from keyless.errors import ExpiredTokenError, UnavailableError
from keyless.hub import Hub, HubStore, create_hub
from keyless.resource import Resource, parse_resource


@dataclass(frozen=True)
class FakeToken:
    """What a verified token says."""

    resource: Resource
    operations: frozenset[str]
    publisher_id: str = "pub-1"
    ci_issuer: str = "https://ci.example.org"
    ci_subject: str = "repo:acme/train:ref:refs/heads/main"


@dataclass
class FakeVerifier:
    """Accept `good:<resource>:<operation>+<operation>`; know which are revoked; be down on request."""

    revoked: set[str] = field(default_factory=set)
    is_down: bool = False

    def verify(self, token: str, /) -> FakeToken:
        if self.is_down:
            raise UnavailableError("down", retry_after=7)
        word, _, rest = token.partition(":")
        if word != "good" or token in self.revoked:
            raise ExpiredTokenError("over", claim="exp")
        resource, _, operations = rest.partition(":")
        return FakeToken(parse_resource(resource), frozenset(operations.split("+")))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RunningHub:
    """A hub that serves, with its store and its verifier at hand."""

    url: str
    port: int
    store: HubStore
    verifier: FakeVerifier
    prefix: str = ""

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: bytes | None = None,
        json_body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; the path goes out exactly as it is given."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if json_body is not None:
            body = json.dumps(json_body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, self.prefix + path, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def commit(
        self,
        repo: str,
        files: Mapping[str, bytes],
        *,
        token: str,
        revision: str = "main",
        deleted: tuple[str, ...] = (),
        parent: str | None = None,
    ) -> Answer:
        """Commit whole files."""
        header: dict[str, object] = {"summary": "change", "description": ""}
        if parent is not None:
            header["parentCommit"] = parent
        lines: list[object] = [{"key": "header", "value": header}]
        for path, content in files.items():
            encoded = base64.b64encode(content).decode()
            lines.append({"key": "file", "value": {"content": encoded, "path": path, "encoding": "base64"}})
        lines += [{"key": "deletedFile", "value": {"path": path}} for path in deleted]
        return self.commit_lines(repo, lines, token=token, revision=revision)

    def commit_lines(self, repo: str, lines: list[object], *, token: str, revision: str = "main") -> Answer:
        """Commit lines as they are."""
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return self.call("POST", f"/api/{repo}/commit/{revision}", token=token, body=body)


@contextmanager
def serve_hub(directory: Path, *, prefix: str = "") -> Iterator[RunningHub]:
    """Run a hub over a directory until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    verifier = FakeVerifier()
    hub: Hub = create_hub(directory, verifier, public_url=f"http://127.0.0.1:{port}{prefix}")
    server = uvicorn.Server(uvicorn.Config(hub, log_level="warning", access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        # The listener is open already: the first request waits in its queue until the server is up.
        yield RunningHub(f"http://127.0.0.1:{port}{prefix}", port, hub.store, verifier, prefix)
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
