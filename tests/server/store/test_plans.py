"""Nothing that happens often, and no page of a list, reads a table from end to end."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from keyless.oidc.issuer import ReplayMode
from keyless.resource import ResourceType
from keyless.server.audit.reader import AuditFilter
from keyless.server.store import Grant, Refusal, Verdict
from keyless.server.store.sqlite import SqliteDatabase
from tests.server.store.world import START, World
from tests.support.postgres import PostgresServer, running_postgres

TOKEN: Final = (
    *("jti", "issuer_id", "publisher_id", "publisher_version", "resource", "scope", "audience", "ci_subject"),
    *("expires_at", "issued_at"),
)
MANY: Final = 20_000  # rows of the tables that grow; a planner then knows what a full scan costs
GROWING: Final = (
    *("audit_event", "audit_contact", "token", "token_resource", "replay_use", "publisher", "publisher_hour"),
    *("condition", "pin", "resource", "namespace", "outbox"),
)


def fill(world: World) -> None:
    """Put many rows into the tables that grow, far from those of the test's own publisher."""
    numbers = range(1000, 1000 + MANY)
    tables: dict[str, tuple[str, Sequence[tuple[Any, ...]]]] = {
        "namespace": ("id, name, kind, state, created_at", [(n, f"n{n}", "org", "active", n) for n in numbers]),
        "resource": (
            "id, path, type, namespace_id, name, state, publishers_only, created_at",
            [(n, f"models/n{n}/m", "model", n, "m", "active", 0, n) for n in numbers],
        ),
        "publisher": (
            "id, version, enabled, resource_id, issuer_id, resource_server_id, operations, created_by, created_at",
            [(f"pub_{n}", 1, 1, n, 1, 1, "read", "test", START - n) for n in numbers],
        ),
        "condition": (
            "publisher_id, claim, value, operator",
            [(f"pub_{n}", "repository", f"acme/r{n}", "eq") for n in numbers],
        ),
        "pin": (
            "publisher_id, claim, value, source, pinned_at",
            [(f"pub_{n}", "repository_id", str(n), "given", n) for n in numbers],
        ),
        "token": (
            ", ".join(TOKEN),
            [(f"t{n}", 1, f"pub_{n}", 1, f"models/n{n}/m", "read", "aud", "sub", START + n, 1) for n in numbers],
        ),
        "token_resource": (
            "jti, resource, publisher_id",
            [(f"t{n}", f"models/n{n}/other", f"pub_{n}") for n in numbers],
        ),
        "publisher_hour": ("publisher_id, hour, grants", [(f"pub_{n}", n, 1) for n in numbers]),
        "replay_use": (
            "issuer_id, replay_key, n, jti, used_at, expires_at",
            [(1, n.to_bytes(32, "big"), 1, f"t{n}", START, START + n) for n in numbers],
        ),
        "audit_event": (
            "writer, sequence, previous, hash, at, kind, publisher_id, resource, jti",
            [
                (
                    f"w{n % 50}",
                    n,
                    b"p" * 32,
                    b"h" * 32,
                    START + n,
                    "token.granted",
                    f"pub_{n}",
                    f"models/n{n}/m",
                    f"t{n}",
                )
                for n in numbers
            ],
        ),
        "audit_contact": (
            "writer, sequence, at, address",
            [(f"w{n % 50}", n, START + n, "192.0.2.1") for n in numbers],
        ),
    }
    with closing(world.store.database.connect()) as connection:
        connection.execute(world.store.database.begin)
        for table, (columns, rows) in tables.items():
            marks = ", ".join("?" * len(rows[0]))
            connection.cursor().executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        connection.execute("COMMIT")
        connection.execute("ANALYZE")


def work(world: World) -> None:
    """Do what happens often: exchanges of each kind, looks at tokens, and pages of lists."""
    store, once = world.store, ReplayMode.ONCE
    again = world.grant()
    waiting = world.add_unpinned_publisher()
    batch: list[Grant | Refusal] = [
        *(world.grant(max_live_tokens=cap, replay_mode=once) for cap in (0, 100, 100)),
        world.grant(replay_mode=ReplayMode.COUNTED),
        world.grant(max_grants_per_hour=50),
        world.grant(publisher=waiting, first_use_pins={"repository_id": "77", "repository_owner_id": "88"}),
        world.refusal(address="192.0.2.1"),
        again,
    ]
    assert [outcome.verdict for outcome in store.commit(batch)][:3] == [Verdict.GRANTED] * 3
    store.commit([world.grant(replay_key=again.replay_key)])
    store.commit([world.grant()])
    issuer = store.issuer_by_url(world.publisher.issuer_url)
    assert issuer is not None
    store.publishers(world.resource, issuer.id)
    store.publishers_naming(ResourceType.MODEL, issuer.id, {"repository": "acme/train"})
    store.resource_of_publisher(world.publisher.id)
    store.token_state(again.jti)
    store.revoke_token(again.jti, reason="test")
    store.purge(START + 1500)
    for wanted in (
        AuditFilter(),
        AuditFilter(resource="models/n1500/m"),
        AuditFilter(publisher_id="pub_1500"),
        AuditFilter(kind="publisher"),
        AuditFilter(actor="test"),
        AuditFilter(since=START + 2000, until=START + 3000),
    ):
        store.audit_events(wanted=wanted, limit=50)
    page = world.admin.publisher_page(namespaces=None, limit=50)
    world.admin.publisher_page(namespaces=None, after=page[-1][0], limit=50)
    world.admin.publisher_page(namespaces=["n1500"], limit=50)
    world.admin.publisher_page(namespaces=None, resource=world.resource, limit=50)


def test_sqlite_reads_no_growing_table_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4, D16: the plan of every statement that ran."""
    statements: set[str] = set()
    connect = SqliteDatabase.connect

    def traced(self: SqliteDatabase, *, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(self, read_only=read_only)
        connection.set_trace_callback(statements.add)
        return connection

    world = World(tmp_path / "keyless.db")
    fill(world)
    monkeypatch.setattr(SqliteDatabase, "connect", traced)
    world.close()
    again = World.on(tmp_path / "keyless.db", world)
    work(again)
    scans = {}
    with closing(connect(SqliteDatabase(tmp_path / "keyless.db"))) as connection:
        for statement in statements:
            if not statement.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                continue
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            if found := [line for line in plan if full_scan(line, statement)]:
                scans[statement] = found
    again.close()

    assert len(statements) > 50
    assert scans == {}


def full_scan(line: str, statement: str) -> bool:
    """Tell whether a line of SQLite's plan goes through a growing table; in an index's order is how a page is read."""
    found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?$", line)
    if found is None or (found[2] and re.search(r"\bLIMIT\b", statement)):
        return False
    name = re.search(rf"\b(\w+)\s+(?:AS\s+)?{re.escape(found[1])}\b", statement)
    if re.search(r"\bLIMIT\b", statement) and re.search(r"ORDER BY \w+\.id\b", statement):
        return False  # along the row's own number, and not to the end
    return found[1] in GROWING or (name is not None and name[1] in GROWING)


@pytest.fixture(scope="module")
def explaining() -> Iterator[PostgresServer]:
    """A server that writes the plan of each statement into its log."""
    explain = (
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_nested_statements=on",
        "auto_explain.log_level=LOG",
        "autovacuum=off",
    )
    with running_postgres(settings=explain) as server:
        yield server


def test_postgres_reads_no_growing_table_from_end_to_end(explaining: PostgresServer) -> None:
    """D4, D16: the plan of every statement that ran, as the server chose it for so many rows."""
    world = World(explaining.create(template="template0"))
    fill(world)
    world.close()
    log = explaining.folder / "log"
    begin = log.stat().st_size
    again = World.on(world.location, world)
    work(again)
    again.close()
    text = log.read_bytes()[begin:].decode()

    plans = text.split("Query Text: ")[1:]
    scans = [plan[:3000] for plan in plans if re.search(rf"Seq Scan on ({'|'.join(GROWING)})\b", plan)]
    assert len(plans) > 50
    assert not scans, "\n".join(scans)


def test_the_plans_are_those_of_the_server(explaining: PostgresServer) -> None:
    """D4: a statement that does read everything would be found."""
    world = World(explaining.create(template="template0"))
    fill(world)
    begin = (explaining.folder / "log").stat().st_size
    with psycopg.connect(explaining.url("postgres").reveal()):
        world.rows("SELECT count(*) FROM token WHERE ci_subject = 'x'")
    world.close()

    assert "Seq Scan on token" in (explaining.folder / "log").read_bytes()[begin:].decode()
