"""A PostgreSQL server of the tests' own: Debian's binaries, an unprivileged user, a folder that goes away."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg

from keyless.server.database_url import PostgresUrl
from tests.support.running import free_port

ACCOUNT: Final = "postgres"  # who runs the server when the tests run as root, which it refuses to
_numbers = count(1)


def binaries() -> Path:
    """Return the folder of the newest PostgreSQL (15 or newer) on this machine.

    Raises:
        AssertionError: There is none. A failure and not a skip: what is not tested here is tested nowhere.
    """
    found = sorted(
        (int(path.parent.parent.name), path.parent)
        for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
        if path.parent.parent.name.isdecimal()
    )
    if (on_path := shutil.which("initdb")) is not None:
        found.append((99, Path(on_path).resolve().parent))
    assert found, "these tests need PostgreSQL 15 or newer: apt-get install postgresql"
    return found[-1][1]


# A test that played an intruder has switched some off.
_ENABLE_TRIGGERS: Final = """
DO $$ DECLARE found record; BEGIN
  FOR found IN SELECT DISTINCT tgrelid::regclass AS name FROM pg_trigger WHERE tgenabled = 'D' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER ALL', found.name);
  END LOOP;
END $$
"""


class PostgresServer:
    """A server in a folder of its own, on a Unix socket and on a loopback port.

    Args:
        settings: More `name=value` settings of the server.
        network: Clients from there may connect over TCP as well, without a password.
        durable: Sync to the disk, as in production; without, tests are faster.
    """

    def __init__(self, *, settings: Sequence[str] = (), network: str | None = None, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="keyless-pg-"))
        self.port = 5432 if network is None else free_port()
        self._binaries = binaries()
        self._owner = ACCOUNT if os.geteuid() == 0 else None
        self._settings = [
            f"listen_addresses={'*' if network else ''}",
            f"port={self.port}",
            f"unix_socket_directories={self.folder}",
            "max_connections=300",
            *([] if durable else ["fsync=off", "full_page_writes=off"]),
            *settings,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._resets: dict[str, str] = {}
        if self._owner:
            shutil.chown(self.folder, self._owner)
        self.folder.chmod(0o755)
        how = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=owner")
        self._run("initdb", *how, "-D", str(self.folder / "data"))
        if network is not None:
            with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} trust\n")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for setting in self._settings for part in ("-c", setting)]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *options],
            **self._account(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        ends_at = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres").reveal(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > ends_at or self._process.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def processes(self) -> list[int]:
        """Return the server's processes, the one that starts the others leading."""
        assert self._process is not None
        pid = self._process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its clients' connections, SIGQUIT is like a power cut."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.wait(30)

    def close(self) -> None:
        """Stop the server and remove everything."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str, *, user: str = "owner") -> PostgresUrl:
        """Return the URL of one of its databases."""
        return PostgresUrl(f"postgresql://{user}@/{name}?host={self.folder}&port={self.port}")

    def execute(self, sql: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the server's owner."""
        with psycopg.connect(self.url(database).reveal(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, *, template: str = "template1") -> PostgresUrl:
        """Create a database and return its URL."""
        name = f"{template}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def remember(self, database: str) -> None:
        """Keep what a database holds now, for `reset`."""
        tables = [
            str(row[0])
            for row in self.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=database)
        ]
        self.execute("CREATE SCHEMA pristine", database=database)
        for table in tables:
            self.execute(f"CREATE TABLE pristine.{table} AS TABLE public.{table}", database=database)
        sequences = self.execute("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'", database=database)
        others = f"datname = '{database}' AND pid <> pg_backend_pid()"
        self._resets[database] = "; ".join(
            (
                # Nobody of the last test may still hold a lock.
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}",
                "SET session_replication_role = replica",  # no triggers and no foreign keys
                *(f"DELETE FROM {table}" for table in tables),
                *(f"INSERT INTO {table} SELECT * FROM pristine.{table}" for table in tables),
                *(f"ALTER SEQUENCE {name} RESTART" for (name,) in sequences),
                _ENABLE_TRIGGERS,
            )
        )

    def reset(self, database: str) -> PostgresUrl:
        """Give a database the contents it had at `remember`; ten times faster than a new one."""
        self.execute(self._resets[database], database=database)
        return self.url(database)

    def drop(self, url: PostgresUrl) -> None:
        """Remove a database, whoever is still connected."""
        name = url.reveal().partition("@/")[2].partition("?")[0]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / program), *arguments], **self._account(), check=True, capture_output=True, text=True
        )

    def _account(self) -> dict[str, Any]:
        if self._owner is None:
            return {"cwd": str(self.folder)}
        found = pwd.getpwnam(self._owner)
        # In the server's own folder: a developer's home is closed to this account.
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": [], "cwd": str(self.folder)}


@contextmanager
def running_postgres(
    *, settings: Sequence[str] = (), network: str | None = None, durable: bool = False
) -> Iterator[PostgresServer]:
    """Run a server for as long as the block lasts."""
    server = PostgresServer(settings=settings, network=network, durable=durable)
    try:
        yield server
    finally:
        server.close()
