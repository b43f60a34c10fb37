"""`keyless serve` as a process of its own, to be traced, killed and started again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from keyless.oidc.issuer import Network, NetworkKind
from keyless.resource import parse_resource
from keyless.server.store import open_store
from keyless.server.store.admin import Administration, NewIssuer, NewPublisher
from keyless.testing import FakeIssuer, github_claims

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RunningService:
    """A token service in a directory of its own, trusting one publisher of acme/model."""

    def __init__(
        self,
        directory: Path,
        issuer: FakeIssuer,
        *,
        wrapper: Sequence[str] = (),
        path: str = "",
        hub: bool = False,
        front: int | None = None,
        settings: str = "",
    ) -> None:
        """Prepare the directory; `front` is the port of a proxy that users talk to, `settings` are further lines."""
        self.directory = directory
        self.issuer = issuer
        self.port = free_port()
        self.inside_port = free_port()
        self.url = f"http://127.0.0.1:{front or self.port}{path}"
        self._path = path
        self.database = directory / "keyless.db"
        self._wrapper = tuple(wrapper)
        self._process: subprocess.Popen[bytes] | None = None
        if hub:
            (directory / "hub").mkdir()
        (directory / "keyless.toml").write_text(
            f'public_url = "{self.url}"\ndatabase = "keyless.db"\nlisten = "127.0.0.1:{self.port}"\n'
            f'inside_listen = "127.0.0.1:{self.inside_port}"\nlog_level = "warning"\n{settings}'
            + ('hub_directory = "hub"\n' if hub else "")
        )
        with open_store(self.database) as store:
            store.ensure_default_resource_server(self.url, "keyless")
            administration = Administration(store, actor="cli:test")
            administration.add_issuer(NewIssuer(url=issuer.url, kind="github", network=Network(NetworkKind.LOOPBACK)))
            administration.add_publisher(
                NewPublisher(
                    resource=parse_resource("acme/model"),
                    issuer_url=issuer.url,
                    claims={"repository": ["acme/widgets"], "branch": ["main"]},
                    pins={"repository_id": "456789", "repository_owner_id": "123456"},
                )
            )
            administration.close()

    @property
    def inside_url(self) -> str:
        """Where the inside listener is, as the running service said."""
        return str(re.findall(r"inside on (http://\S+)", (self.directory / "serve.log").read_text())[-1])

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    def administration(self) -> Administration:
        """Return the administration of the service's database, as another process would have it."""
        return Administration(self.database, actor="cli:test")

    def start(self) -> None:
        """Start the service and wait until it answers."""
        command = [*self._wrapper, sys.executable, "-m", "keyless", "serve", "--config", "keyless.toml"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        log = (self.directory / "serve.log").open("ab")
        self._process = subprocess.Popen(
            command, cwd=self.directory, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        ends_at = time.monotonic() + 30
        while time.monotonic() < ends_at:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", f"{self._path}/healthz")
                connection.getresponse().read()
                connection.close()
                return
            except (OSError, http.client.HTTPException):
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
        raise AssertionError((self.directory / "serve.log").read_text())

    def pause(self) -> None:
        """Let the service do nothing, as on a machine that hangs: connections are taken, and nothing is answered."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the service go on."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the service, and whatever traces it, without any warning."""
        self.end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask the service to end and return its exit status."""
        return self.end(signal.SIGTERM)

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit status; 0 when the service was not running."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        return process.wait(20)

    def mint(self, **claims: object) -> str:
        """Mint an id token that the publisher accepts."""
        return self.issuer.mint(github_claims(aud=self.url, **claims))

    def exchange(self, id_token: str | None = None, *, resource: str = "acme/model") -> tuple[int, dict[str, object]]:
        """Exchange an id token over HTTP.

        Raises:
            OSError: The service went away before it answered.
            http.client.HTTPException: As above, in the middle of the answer.
        """
        body = json.dumps(
            {
                "grant_type": GRANT,
                "subject_token_type": ID_TOKEN,
                "subject_token": id_token or self.mint(),
                "resource": resource,
            }
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", f"{self._path}/oauth/token", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()
