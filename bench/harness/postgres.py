"""A PostgreSQL of the run's own: Debian's binaries, an unprivileged user, synced as in production."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.children import Missing
from harness.machine import on_core

ACCOUNT = "postgres"  # PostgreSQL refuses to run as root
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs."""

    folder: Path
    binaries: Path
    pid: int = 0

    def url(self, database: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://{ACCOUNT}@/{database}?host={self.folder}"

    def ask(self, sql: str, database: str = "postgres") -> str:
        """Run a statement and return its answer as text."""
        command = [self.binaries / "psql", "-h", self.folder, "-U", ACCOUNT, "-d", database, "-Atqc", sql]
        return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def running_postgres(directory: Path, core: int) -> Iterator[Postgres]:
    """Run a server until the block ends; on the generator's core, for its work is not the service's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise Missing("PostgreSQL: not installed (apt-get install postgresql)")
    binaries, folder = found[-1].parent, directory / "postgres"
    folder.mkdir()
    who: dict[str, Any] = {"user": ACCOUNT} if os.geteuid() == 0 else {}
    if who:
        shutil.chown(folder, ACCOUNT)
        for parent in (folder, *folder.parents):
            if not parent.stat().st_mode & 0o001:
                raise Missing(f"PostgreSQL: {ACCOUNT} cannot reach {parent} (--state DIR names another place)")
    data = folder / "data"
    how = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", f"--username={ACCOUNT}", "-D", str(data)]
    subprocess.run([str(binaries / "initdb"), *how], check=True, capture_output=True, cwd=folder, **who)
    settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
    with on_core(core):
        child = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), *settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **who,
        )
    server = Postgres(folder, binaries, child.pid)
    try:
        ends_at = time.monotonic() + START_SECONDS
        while True:
            try:
                server.ask("SELECT 1")
                break
            except subprocess.CalledProcessError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.1)
        yield server
    finally:
        child.terminate()
        child.wait(30)
