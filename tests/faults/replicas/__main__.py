"""Break things around three replicas on PostgreSQL, one after the other, and count what is left.

python -m tests.faults.replicas [--exchanges 10000] [scenario ...]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from keyless.jose.jwk import parse_jwks
from keyless.server.database_url import DatabaseLocation, PostgresUrl
from keyless.server.store.schema import SCHEMA_VERSION
from keyless.testing import FakeIssuer, Fault
from keyless.verifier.access_token import verify_access_token
from tests.faults.replicas import audit
from tests.faults.replicas.fleet import SOURCE, Replica, set_up
from tests.faults.replicas.load import Load
from tests.faults.replicas.network import INSIDE, NETWORK, OUTSIDE, Cable, bridge
from tests.support.postgres import PostgresServer, running_postgres

PUBLIC_URL: Final = "http://127.0.0.1:8080"
FAKETIME: Final = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
CUT_SECONDS: Final = 12
GONE_SECONDS: Final = 30
NEXT_SCHEMA: Final = f"{int(SCHEMA_VERSION) + 1:04}"
NEXT_REVISION: Final = f'''"""A column more, as a next release would add one."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT_SCHEMA}"
down_revision = "{SCHEMA_VERSION}"


def upgrade() -> None:
    op.add_column("token", sa.Column("something_new", sa.Text(), nullable=True))
'''

Scenario = Callable[["Stage"], None]


class Stage:
    """A server, an issuer, three replicas, and jobs at work."""

    def __init__(self, folder: Path, postgres: PostgresServer, exchanges: int) -> None:
        self.folder = folder
        self.postgres = postgres
        self.exchanges = exchanges
        self.database: DatabaseLocation = postgres.create(template="template0")
        self.issuer = FakeIssuer().start()
        self.replicas: list[Replica] = []
        self.load = Load(self.issuer, PUBLIC_URL, self.replicas, exchanges)
        self.restarted_by_design = 0
        self.notes: list[str] = []
        self.counted: audit.Count | None = None
        self._prepared = False
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(folder / "checkpoint.key")],
            check=True,
            capture_output=True,
        )
        (folder / "checkpoint.key").chmod(0o600)

    def replica(self, name: str, **changes: object) -> Replica:
        """Start one more replica."""
        given: dict[str, object] = {"database": self.database, **changes}
        replica = Replica(name, self.folder / name, PUBLIC_URL, **given)  # type: ignore[arg-type]  # by keyword
        replica.start()
        self.replicas.append(replica)
        return replica

    def prepare(self) -> None:
        """Make schema, issuer and publishers, once."""
        if not self._prepared:
            set_up(self.database, PUBLIC_URL, self.issuer)
            self._prepared = True

    def begin(self, count: int = 3) -> None:
        """Set everything up and let the jobs begin."""
        self.prepare()
        while len(self.replicas) < count:
            self.replica(f"replica-{len(self.replicas) + 1}")
        self.load.start()

    def close(self) -> None:
        """End everything."""
        for replica in self.replicas:
            replica.end(signal.SIGTERM)
        self.issuer.close()


def kill(stage: Stage) -> None:
    """SIGKILL of one replica after the other; something outside starts it again, as an orchestrator does."""
    stage.begin()
    for share, replica in zip((0.2, 0.45, 0.7), stage.replicas, strict=True):
        stage.load.wait_for(share)
        replica.end(signal.SIGKILL)
        time.sleep(1)
        replica.start(wait=False)
        stage.restarted_by_design += 1


def restart(stage: Stage) -> None:
    """PostgreSQL restarts twice, the second time as after a power cut."""
    stage.begin()
    for share, number in ((0.25, signal.SIGINT), (0.6, signal.SIGQUIT)):
        stage.load.wait_for(share)
        stage.postgres.stop(number)
        stage.postgres.start()


def gone(stage: Stage) -> None:
    """30 s without PostgreSQL."""
    stage.begin()
    stage.load.wait_for(0.4)
    stage.postgres.stop(signal.SIGINT)
    time.sleep(GONE_SECONDS)
    stage.postgres.start()


def cut(stage: Stage) -> None:
    """One replica loses its database in silence: packets are dropped, twice."""
    cable = Cable()
    cable.plug()
    try:
        stage.prepare()
        port = int(stage.issuer.url.rpartition(":")[2])
        assert isinstance(stage.database, PostgresUrl)
        name = stage.database.reveal().partition("@/")[2].partition("?")[0]
        over_the_cable = PostgresUrl(f"postgresql://owner@{OUTSIDE}:{stage.postgres.port}/{name}")
        with bridge(cable, port, stage.folder):
            time.sleep(0.5)
            stage.replica("replica-1", database=over_the_cable, host=INSIDE, command=cable.command)
            stage.begin()
            for share in (0.2, 0.6):
                stage.load.wait_for(share)
                cable.cut(stage.postgres.port)
                time.sleep(CUT_SECONDS)
                cable.mend(stage.postgres.port)
            stage.load.finish()
            finish(stage)
    finally:
        for replica in stage.replicas[:1]:
            replica.end(signal.SIGKILL)
        cable.remove()


def disk(stage: Stage) -> None:
    """The disk of a SQLite service is full for a while."""
    place = stage.folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], check=True)
    try:
        stage.database = place / "keyless.db"
        stage.begin(count=1)
        stage.load.wait_for(0.3)
        with (place / "filler").open("wb") as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 65536)
                filler.flush()
        time.sleep(5)
        (place / "filler").unlink()
        finish(stage)
    finally:
        stage.replicas[0].end(signal.SIGTERM)
        subprocess.run(["umount", "-l", str(place)], check=True)


def clock(stage: Stage) -> None:
    """One replica's clock is 90 s ahead; it says so and exchanges nothing."""
    assert Path(FAKETIME).exists(), "this needs libfaketime: apt-get install faketime"
    stage.prepare()
    ahead = stage.replica(
        "replica-1",
        environment={"LD_PRELOAD": FAKETIME, "FAKETIME": "+90s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
    )
    stage.begin()
    stage.load.finish()
    ready = [replica.ask("/readyz", inside=True) for replica in stage.replicas]
    stage.notes.append(f"ready: {ready}")
    assert ready == [503, 200, 200], ready
    stage.replicas.remove(ahead)  # what is left must answer; this one must not, until its clock is right
    ahead.end(signal.SIGTERM)


def issuer(stage: Stage) -> None:
    """The issuer does not answer while it begins to sign with a new key."""
    stage.begin()
    stage.load.wait_for(0.3)
    stage.issuer.misbehave(Fault.UNAVAILABLE)
    stage.issuer.rotate()
    time.sleep(10)
    stage.issuer.behave()


def keys(stage: Stage) -> None:
    """Our signing key is replaced at once, twice, and the issuer's key as well, with overlap."""
    stage.begin()
    for share in (0.15, 0.4):
        stage.load.wait_for(share)
        stage.replicas[0].command_line("keys", "rotate", "--now")
    stage.load.wait_for(0.6)
    stage.issuer.rotate()
    stage.load.finish()
    published = parse_jwks(stage.replicas[1].read("/oauth/jwks"))
    kids = set()
    for token in stage.load.ledger.tokens:
        verify_access_token(token, keys=published, issuer=PUBLIC_URL, audience=None, prefixes=("kl_",), now=time.time())
        kids.add(token.partition(".")[0])  # the header, which differs by its key id only
    assert len(kids) >= 2, kids
    stage.notes.append(
        f"all {len(stage.load.ledger.tokens)} tokens verify with what a replica publishes, {len(kids)} keys"
    )


def upgrade(stage: Stage) -> None:
    """The next release adds a column; replicas are replaced one after the other."""
    stage.begin()
    copy = stage.folder / "next" / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    store = copy / "keyless" / "server" / "store"
    (store / "migrations" / "versions" / f"{NEXT_SCHEMA}_next.py").write_text(NEXT_REVISION)
    schema = (store / "schema.py").read_text()
    line = f'SCHEMA_VERSION: Final = "{SCHEMA_VERSION}"'
    assert line in schema
    (store / "schema.py").write_text(schema.replace(line, f'SCHEMA_VERSION: Final = "{NEXT_SCHEMA}"'))
    for share, replica in zip((0.2, 0.45, 0.7), stage.replicas, strict=True):
        stage.load.wait_for(share)
        replica.end(signal.SIGTERM)
        replica.source = copy
        replica.start(wait=False)
        stage.restarted_by_design += 1


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "kill": kill,
    "restart": restart,
    "gone": gone,
    "cut": cut,
    "disk": disk,
    "clock": clock,
    "issuer": issuer,
    "keys": keys,
    "upgrade": upgrade,
}


def finish(stage: Stage) -> audit.Count:
    """Wait for the jobs, then count; once for each stage."""
    if stage.counted is None:
        ledger = stage.load.finish()
        stage.counted = audit.count(ledger, stage.database, stage.exchanges, stage.folder)
    return stage.counted


def run(name: str, postgres: PostgresServer, exchanges: int) -> list[str]:
    """Play one scenario, print what was counted, and return what is wrong."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyless-faults-") as folder:
        stage = Stage(Path(folder), postgres, exchanges)
        try:
            SCENARIOS[name](stage)
            counted = finish(stage)
            problems = list(counted.problems)
            for replica in stage.replicas:
                if name not in {"disk", "cut"} and not replica.alive:
                    problems.append(f"{replica.name} does not run any more: {replica.log.read_text()[-500:]}")
            starts = sum(replica.starts for replica in stage.replicas) - len(stage.replicas)
            if starts != stage.restarted_by_design:
                problems.append(f"{starts} restarts, {stage.restarted_by_design} of them the scenario's")
        finally:
            stage.close()
    notes = "".join(f"; {note}" for note in stage.notes)
    print(f"{name}: {(SCENARIOS[name].__doc__ or '').strip()}")
    print(f"    {counted.line}{notes}; {time.monotonic() - began:.0f} s")
    for problem in problems:
        print(f"    WRONG: {problem}")
    sys.stdout.flush()
    return problems


@contextlib.contextmanager
def server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL that syncs, as in production."""
    with running_postgres(durable=True, network=NETWORK) as postgres:
        (fsync,), (commit,) = (postgres.execute(f"SHOW {name}")[0] for name in ("fsync", "synchronous_commit"))
        print(f"PostgreSQL {postgres.execute('SHOW server_version')[0][0]}, fsync {fsync}, synchronous_commit {commit}")
        yield postgres


def main() -> int:
    """Play the scenarios that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.replicas", description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument("--exchanges", type=int, default=10_000, help="in each scenario (default 10000)")
    options = parser.parse_args()
    assert os.geteuid() == 0, "this needs root: network namespaces and a file system of its own"
    wrong = 0
    with server() as postgres:
        for name in options.scenarios:
            wrong += len(run(name, postgres, options.exchanges))
    print("nothing was lost, doubled or refused" if not wrong else f"{wrong} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
