"""Replicas of the service as processes, and the one way each of them can be started, killed and asked."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyless.oidc.issuer import Network, NetworkKind
from keyless.resource import parse_resource
from keyless.server.database_url import DatabaseLocation, PostgresUrl
from keyless.server.store import open_store
from keyless.server.store.admin import Administration, NewIssuer, NewPublisher
from keyless.testing import FakeIssuer
from tests.support.running import free_port

KEY_ENCRYPTION_KEY: Final = base64.b64encode(bytes(range(32))).decode()
PUBLISHERS: Final = 20  # as many jobs of different repositories
SOURCE: Final = Path(__file__).resolve().parents[3] / "src"


def set_up(database: DatabaseLocation, public_url: str, issuer: FakeIssuer) -> None:
    """Make the schema, the resource server and the publishers."""
    with open_store(database) as store:
        store.ensure_default_resource_server(public_url, "keyless")
        with Administration(store, actor="cli:faults") as administration:
            network = Network(NetworkKind.LOOPBACK)
            administration.add_issuer(NewIssuer(url=issuer.url, kind="github", network=network))
            for number in range(PUBLISHERS):
                administration.add_publisher(
                    NewPublisher(
                        resource=parse_resource(f"acme/model-{number}"),
                        issuer_url=issuer.url,
                        claims={"repository": [f"acme/train-{number}"]},
                        pins={"repository_id": str(1000 + number), "repository_owner_id": "123456"},
                    )
                )


@dataclass
class Replica:
    """One `keyless serve`.

    Attributes:
        name: For people.
        folder: Its own.
        public_url: What all replicas are reached by.
        database: What all replicas share, as this one reaches it.
        host: The address it listens on.
        command: Words before the interpreter, to start it in another network for example.
        environment: More variables.
        source: Where its code is.
    """

    name: str
    folder: Path
    public_url: str
    database: DatabaseLocation
    host: str = "127.0.0.1"
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    source: Path = SOURCE
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.inside_port = free_port(), free_port()
        self.log = self.folder / "serve.log"
        where = self.database.reveal() if isinstance(self.database, PostgresUrl) else str(self.database)
        (self.folder / "keyless.toml").write_text(
            f'public_url = "{self.public_url}"\ndatabase = "{where}"\nlisten = "{self.host}:{self.port}"\n'
            f'inside_listen = "{self.host}:{self.inside_port}"\nlog_level = "warning"\nmax_live_tokens = 0\n'
            f"exchanges_per_minute_by_address = 0\nexchanges_per_minute_by_identity = 0\n"
            'checkpoint_key_file = "../checkpoint.key"\ncheckpoint_file = "checkpoints.jsonl"\n'
        )

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        words = [*self.command, sys.executable, "-m", "keyless", "serve", "--config", "keyless.toml"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, env=self._variables(), stdout=log, stderr=log, start_new_session=True
            )
        self.starts += 1
        ends_at = time.monotonic() + 60
        while wait and self.ask("/healthz", inside=True) != 200:
            if self.process.poll() is not None or time.monotonic() > ends_at:
                raise AssertionError(f"{self.name} does not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            process.wait(40)

    def command_line(self, *words: str) -> None:
        """Run a verb of the command line with this replica's settings."""
        subprocess.run(
            [sys.executable, "-m", "keyless", *words, "--config", "keyless.toml"],
            cwd=self.folder,
            env=self._variables(),
            check=True,
            capture_output=True,
        )

    def _variables(self) -> dict[str, str]:
        found = {**os.environ, "PYTHONPATH": str(self.source), **self.environment}
        if isinstance(self.database, PostgresUrl):
            found["KEYLESS_KEY_ENCRYPTION_KEY"] = KEY_ENCRYPTION_KEY
        return found

    @property
    def alive(self) -> bool:
        """Tell whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def read(self, path: str) -> bytes:
        """Return the body of a GET."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def ask(self, path: str, *, inside: bool = False) -> int | None:
        """Return the status of a GET, or `None` when nothing answers."""
        connection = http.client.HTTPConnection(self.host, self.inside_port if inside else self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
