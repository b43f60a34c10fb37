"""Many rows in every table that grows, and a look at the plan of each statement that runs beside them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

import pytest

from keyless.server.store import Store
from keyless.server.store.connection import Connection, Database
from keyless.server.store.postgres import PostgresDatabase
from keyless.server.store.sqlite import SqliteDatabase
from tests.support.postgres import PostgresServer

TOKEN: Final = (
    *("jti", "issuer_id", "publisher_id", "publisher_version", "resource", "scope", "audience", "ci_subject"),
    *("expires_at", "issued_at"),
)
FEW: Final = frozenset({"ix_namespace_locked", "ix_resource_locked"})  # indexes of a few rows of a growing table
MANY: Final = 20_000  # rows of the tables that grow; a planner then knows what a full scan costs
GROWING: Final = (
    *("audit_event", "audit_contact", "token", "token_resource", "replay_use", "publisher", "publisher_hour"),
    *("condition", "pin", "resource", "namespace", "outbox", "feed", "exchange_hour", "web_session", "login"),
    *("login_code", "idempotent_answer", "principal", "role", "checkpoint"),
)


def fill(store: Store, start: int) -> None:
    """Put many rows of about `start` into the tables that grow, far from those of the test's own publisher."""
    numbers = range(1000, 1000 + MANY)
    tables: dict[str, tuple[str, Sequence[tuple[Any, ...]]]] = {
        "namespace": ("id, name, kind, state, created_at", [(n, f"n{n}", "org", "active", n) for n in numbers]),
        "resource": (
            "id, path, type, namespace_id, name, state, publishers_only, created_at",
            [(n, f"models/n{n}/m", "model", n, "m", "active", 0, n) for n in numbers],
        ),
        "publisher": (
            "id, version, enabled, resource_id, issuer_id, resource_server_id, operations, created_by, created_at",
            [(f"pub_{n}", 1, 1, n, 1, 1, "read", "test", start - n) for n in numbers],
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
            [(f"t{n}", 1, f"pub_{n}", 1, f"models/n{n}/m", "read", "aud", "sub", start + n, 1) for n in numbers],
        ),
        "token_resource": (
            "jti, resource, publisher_id",
            [(f"t{n}", f"models/n{n}/other", f"pub_{n}") for n in numbers],
        ),
        "publisher_hour": ("publisher_id, hour, grants", [(f"pub_{n}", n, 1) for n in numbers]),
        "replay_use": (
            "issuer_id, replay_key, n, jti, used_at, expires_at",
            [(1, n.to_bytes(32, "big"), 1, f"t{n}", start, start + n) for n in numbers],
        ),
        "audit_event": (
            "writer, sequence, previous, hash, at, kind, publisher_id, resource, jti",
            [
                (
                    f"w{n % 50}",
                    n,
                    b"p" * 32,
                    b"h" * 32,
                    start + n,
                    "token.granted",
                    f"pub_{n}",
                    f"models/n{n}/m",
                    f"t{n}",
                )
                for n in numbers
            ],
        ),
        "exchange_hour": (
            "namespace, hour, kind, reason, exchanges",
            [(f"n{n}", start // 3600 - n % 20, "token.granted", "", 1) for n in numbers],
        ),
        "principal": (
            "id, name, kind, state, version, created_by, created_at",
            [(f"prn_{n}", f"p{n}", "person", "active", 1, "test", n) for n in numbers],
        ),
        "role": ("principal_id, role, namespace", [(f"prn_{n}", "owner", f"n{n}") for n in numbers]),
        "web_session": (
            "id, principal_id, secret_hash, how, created_at, proven_at, seen_at, expires_at",
            [(f"ses_{n}", f"prn_{n}", n.to_bytes(32, "big"), "code", n, n, n, start + n) for n in numbers],
        ),
        "login": (
            "id, principal_id, access, secret_hash, created_by, created_at, expires_at",
            [(f"lgn_{n}", f"prn_{n}", "full", n.to_bytes(32, "big"), "test", n, start + n) for n in numbers],
        ),
        "login_code": (
            "selector, purpose, principal_id, secret_hash, tries_left, created_by, created_at, expires_at",
            [(f"s{n}", "login", f"prn_{n}", n.to_bytes(32, "big"), 5, "test", n, start + n) for n in numbers],
        ),
        "idempotent_answer": (
            "principal_id, key, request_hash, status, headers, body, expires_at",
            [(f"prn_{n}", "k", n.to_bytes(32, "big"), 201, "{}", "{}", start + n) for n in numbers],
        ),
        "checkpoint": (
            "number, at, last_id, statement",
            [(n, start - 1000 + n // 100, n, "a.b.c") for n in numbers],
        ),
        "feed": (
            "sequence, mark, at, kind, subject",
            [(n, f"m{n}", start + n // 100, "token", f"t{n}") for n in numbers],
        ),
        "outbox": ("writer, sequence, attempts, next_at", [(f"w{n % 50}", n, 0, start + n) for n in numbers]),
        "audit_contact": (
            "writer, sequence, at, address",
            [(f"w{n % 50}", n, start + n, "192.0.2.1") for n in numbers],
        ),
    }
    # So many rows take longer than a service's statement may, on a machine that is busy.
    database = store.database
    patient = database.connect() if isinstance(database, SqliteDatabase) else open_patiently(database)
    with closing(patient) as connection:
        connection.execute(store.database.begin)
        for table, (columns, rows) in tables.items():
            marks = ", ".join("?" * len(rows[0]))
            connection.cursor().executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        connection.execute("COMMIT")
        connection.execute("ANALYZE")


def open_patiently(database: Database) -> Connection:
    assert isinstance(database, PostgresDatabase)
    return database.connect(patient=True)


_connect = SqliteDatabase.connect


@contextmanager
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Collect every statement that SQLite is given over connections made within."""
    statements: set[str] = set()

    def connect(self: SqliteDatabase, *, read_only: bool = False) -> sqlite3.Connection:
        connection = _connect(self, read_only=read_only)
        connection.set_trace_callback(statements.add)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(SqliteDatabase, "connect", connect)
        yield statements


def sqlite_scans(database: SqliteDatabase, statements: set[str]) -> dict[str, list[str]]:
    """Return statement -> lines of its plan that read a growing table from end to end."""
    scans = {}
    with closing(_connect(database)) as connection:
        for statement in statements:
            if not statement.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                continue
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            if found := [line for line in plan if full_scan(line, statement)]:
                scans[statement] = found
    return scans


EXPLAINING: Final = (
    "session_preload_libraries=auto_explain",
    "auto_explain.log_min_duration=0",
    "auto_explain.log_nested_statements=on",
    "auto_explain.log_level=LOG",
    "autovacuum=off",
)
"""Settings of a server that writes the plan of each statement into its log."""


def postgres_scans(server: PostgresServer, begin: int) -> tuple[int, list[str]]:
    """Return how many plans the server wrote down since `begin`, and those that read a growing table whole."""
    plans = (server.folder / "log").read_bytes()[begin:].decode().split("Query Text: ")[1:]
    return len(plans), [p[:3000] for p in plans if re.search(rf"Seq Scan on ({'|'.join(GROWING)})\b", p)]


def full_scan(line: str, statement: str) -> bool:
    """Tell whether a line of SQLite's plan goes through a growing table.

    To read in an order that is at hand, with no condition that rows could fail and no further than a limit, is no scan.
    """
    found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?$", line)
    if (
        found is None
        or found[2] in FEW
        or (re.search(r"\bORDER BY\b.*\bLIMIT\b", statement) and "WHERE" not in statement)
    ):
        return False
    name = re.search(rf"\b(\w+)\s+(?:AS\s+)?{re.escape(found[1])}\b", statement)
    return found[1] in GROWING or (name is not None and name[1] in GROWING)
