from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Table

from keyless.errors import ConfigurationError, UnavailableError
from keyless.server.audit.chain import INSERT_EVENT, Chain
from keyless.server.database_url import DatabaseLocation
from keyless.server.store import Verdict, open_store
from keyless.server.store.backup import back_up, restore
from keyless.server.store.connection import Connection, Database
from keyless.server.store.copying import copy_database
from keyless.server.store.database import open_database
from keyless.server.store.exchange_events import granted
from keyless.server.store.tables import metadata
from tests.server.store.world import World
from tests.support.postgres import PostgresServer

AUDIT_ROWS = int(os.environ.get("KEYLESS_COPY_ROWS", "2000"))


@pytest.fixture
def full(location: DatabaseLocation) -> Iterator[World]:
    """A store with something in it that each engine could get wrong."""
    world = World(location)
    world.store.commit([world.grant(ci_subject="sub \\ \" ' \t ü 漢", address="192.0.2.7") for _ in range(300)])
    world.store.commit([world.refusal(details=("a\nb",)) for _ in range(300)])
    world.admin.add_resource_server("registry", audience="https://registry.example.org")
    world.add_unpinned_publisher()
    world.store.revoke_token("token-1", reason="test")
    yield world
    world.close()


def contents(database: Database) -> dict[str, tuple[int, int]]:
    """Return how many rows each table has, and a sum of their digests, read a page at a time."""
    with closing(database.connect()) as connection:
        return {table.name: _digest(connection, table) for table in metadata.sorted_tables}


def _digest(connection: Connection, table: Table) -> tuple[int, int]:
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key]
    query = f"SELECT {', '.join(names)} FROM {table.name}"
    order = f" ORDER BY {', '.join(keys)} LIMIT 5000"
    behind = f" WHERE ({', '.join(keys)}) > ({', '.join('?' * len(keys))})"
    count = total = 0
    page = connection.execute(query + order).fetchall()
    while page:
        count += len(page)
        total += sum(int.from_bytes(hashlib.sha256(repr(tuple(row)).encode()).digest(), "big") for row in page)
        last = [page[-1][names.index(key)] for key in keys]
        page = connection.execute(query + behind + order, last).fetchall()
    return count, total % 2**256


def add_audit_rows(world: World, count: int) -> None:
    """Add what so many grants leave in the audit: a writer's whole chain, and an address for each."""
    chain, left = Chain(), count
    with closing(world.store.database.connect()) as connection:
        connection.execute(world.store.database.begin)
        while left > 0:
            grants = [world.grant(claims={"ref": str(left)}) for _ in range(min(left, 10_000))]
            events = [chain.link(granted(grant, 1)) for grant in grants]
            cursor = connection.cursor()
            cursor.executemany(INSERT_EVENT, events)
            cursor.executemany(
                "INSERT INTO audit_contact (writer, sequence, at, address) VALUES (?, ?, ?, '192.0.2.7')",
                [(row[0], row[1], row[4]) for row in events],
            )
            left -= len(grants)
        connection.execute("COMMIT")


@pytest.mark.timeout(3600)
def test_a_copy_to_postgres_has_every_row(sqlite_world: World, postgres: PostgresServer) -> None:
    """D4: complete, the chains whole, and the next row gets a number of its own."""
    world = sqlite_world
    world.store.commit([world.grant() for _ in range(200)])
    add_audit_rows(world, AUDIT_ROWS)
    url = postgres.create(template="migrated")
    target = open_database(url)

    report = copy_database(world.store.database, target, freeze=True)

    assert contents(target) == contents(world.store.database)
    assert report.rows["audit_event"] == report.chains.events == world.rows("SELECT count(*) FROM audit_event")[0][0]
    assert report.rows["audit_event"] > AUDIT_ROWS
    assert report.chains.intact
    moved = World.on(url, world)
    assert moved.store.commit([moved.grant(jti="after the move")])[0].verdict is Verdict.GRANTED
    moved.add_publisher(resource=moved.resource, claims={"repository": ["acme/other"]})
    assert moved.store.verify_chain().intact
    moved.close()


def test_a_copy_needs_an_empty_target(sqlite_world: World, postgres: PostgresServer) -> None:
    """D4: nothing is mixed, and a second copy is refused."""
    target = open_database(postgres.create(template="migrated"))
    copy_database(sqlite_world.store.database, target, freeze=True)
    before = contents(target)

    with pytest.raises(ConfigurationError, match="not empty"):
        copy_database(sqlite_world.store.database, target, freeze=True)
    assert contents(target) == before


def test_nobody_writes_to_the_source_while_it_is_copied(sqlite_world: World, postgres: PostgresServer) -> None:
    """D9, D14: a service that was not stopped answers 503 meanwhile, and what it answered before is in the copy."""
    sqlite_world.store._write_connection.execute("PRAGMA busy_timeout=20")
    target = open_database(postgres.create(template="migrated"))
    refused = []

    def commit_meanwhile(_table: str, _rows: int) -> None:
        with pytest.raises(UnavailableError):
            sqlite_world.store.commit([sqlite_world.grant()])
        refused.append(1)

    copy_database(sqlite_world.store.database, target, freeze=True, progress=commit_meanwhile)

    assert len(refused) == len(metadata.tables)


def test_a_value_that_postgres_cannot_hold_stops_the_copy(sqlite_world: World, postgres: PostgresServer) -> None:
    """D4: nothing is lost or changed in silence."""
    sqlite_world.change("INSERT INTO namespace (name, kind, state, created_at) VALUES (?, 'org', 'active', 1)", "a\0b")
    target = open_database(postgres.create(template="migrated"))
    before = contents(target)

    with pytest.raises(ConfigurationError, match="table namespace, column name"):
        copy_database(sqlite_world.store.database, target, freeze=True)
    assert contents(target) == before


def test_a_backup_is_private_whole_and_taken_while_the_service_runs(full: World, tmp_path: Path) -> None:
    """D21: one file that only its owner can read; what comes later is not in it."""
    before = contents(full.store.database)
    backup = tmp_path / "backup.db"

    report = back_up(full.store.database, backup)
    full.store.commit([full.grant()])

    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    assert report.intact
    assert contents(open_database(backup)) == before
    with pytest.raises(ConfigurationError, match="exists already"):
        back_up(full.store.database, backup)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_backup_is_restored_to_either_engine(
    full: World, tmp_path: Path, postgres: PostgresServer, engine: str
) -> None:
    """D4: a restore is whole, goes on working, and overwrites nothing."""
    before = contents(full.store.database)
    backup = tmp_path / "backup.db"
    back_up(full.store.database, backup)
    where = tmp_path / "new.db" if engine == "sqlite" else postgres.create(template="migrated")

    report = restore(backup, open_database(where))

    assert report.intact
    assert contents(open_database(where)) == before
    with open_store(where) as store:
        assert store.commit([full.grant()])[0].verdict is Verdict.GRANTED
    with pytest.raises(ConfigurationError, match=r"exists already|not empty"):
        restore(backup, open_database(where))


def test_an_older_backup_is_brought_to_this_schema(tmp_path: Path) -> None:
    """D4: the backup itself stays as it was."""
    backup = tmp_path / "old.db"
    make_first_schema(backup)

    restore(backup, open_database(tmp_path / "new.db"))

    with open_store(tmp_path / "new.db") as store:
        assert store.verify_chain().events == 1
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


def make_first_schema(path: Path) -> None:
    """Make a database as the first revision did, with a row in each table of it."""
    from tests.server.store.first_schema import fill, migrate

    database = open_database(path)
    migrate(database, "0001")
    fill(database)
