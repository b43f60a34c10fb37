"""Many publishers and many audit rows, written by the database itself: a million of them in seconds.

Every database of a run holds the same few hundred events, a little over a hundred of each kind that a page asks for;
what makes it large lies around them, evenly over thirty days and over all publishers. Rows and indexes are those of
real use. The chains are not: nothing that is measured here follows them.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.postgres import Postgres

STEP_ROWS: Final = 500_000  # of one transaction
SPAN_SECONDS: Final = 30 * 86_400
GROUP: Final = 10  # publishers of one namespace
OWN_ROWS: Final = 120
OWN_KINDS: Final = ("token.granted", "exchange.refused", "publisher.changed", "login.started", "key.activated")
_CLAIMS: Final = (
    '{"claims":{"ref":"refs/heads/main","repository":"acme/train","repository_id":"456789","repository_owner_id":'
    '"123456","run_id":"16411000000","sha":"0123456789abcdef0123456789abcdef01234567","workflow_ref":'
    '"acme/train/.github/workflows/train.yml@refs/heads/main"},"scope":"read write create","use":1}'
)
_EVENT: Final = (
    "INSERT INTO audit_event (issuer_id, ci_subject, data, writer, sequence, previous, hash, at, kind, actor,"
    f" request_id, publisher_id, resource, jti, reason) SELECT 1, 'repo:acme/train:ref:refs/heads/main', '{_CLAIMS}', "
)
_FILLED: Final = ("namespace", "resource", "publisher", "condition", "pin", "token", "audit_event", "audit_contact")


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    publishers: int
    audit_rows: int

    def __str__(self) -> str:
        return f"{self.publishers:,} publishers and {self.audit_rows:,} audit rows"


@dataclass(frozen=True, slots=True)
class Filling:
    """The statements that fill a database of one engine, up to a size."""

    size: Size
    sqlite: bool
    now: int

    def steps(self) -> Iterator[list[str]]:
        """Yield the statements of one transaction after the other."""
        yield list(self._own())
        last = max(self.size.publishers, self.size.audit_rows)
        for first in range(1, last + 1, STEP_ROWS):
            yield list(self._rows(first, first + STEP_ROWS - 1))

    def _own(self) -> Iterator[str]:
        for place, kind in enumerate(OWN_KINDS):
            first = 1 + place * OWN_ROWS
            at = f"{self.now - place} - (i - {first}) * {SPAN_SECONDS // OWN_ROWS}"
            actor = "NULL" if place < 2 else "'person:alice'"
            reason = "'no_matching_publisher'" if kind == "exchange.refused" else "NULL"
            yield (
                f"{_EVENT}'w_own', i, {self._hashes}, {at}, '{kind}', {actor}, 'own' || i, 'pub_1', 'models/n1/m1',"
                f" 'own' || i, {reason} FROM {self._series(first, first + OWN_ROWS - 1)}"
            )

    def _rows(self, first: int, last: int) -> Iterator[str]:
        publishers, events = self.size.publishers, self.size.audit_rows
        tokens = max(OWN_ROWS, min(publishers, events))
        whose = f"(1 + i % {publishers})"
        path = f"'models/n' || (1 + ({whose} - 1) / {GROUP}) || '/m' || {whose}"
        if series := self._part(first, last, publishers // GROUP):
            columns = "id, name, kind, state, created_at"
            yield (
                f"INSERT INTO namespace ({columns})"
                f" SELECT 1000 + i, 'n' || i, 'org', 'active', {self.now} FROM {series}"
            )
        if series := self._part(first, last, publishers):
            space = f"(1 + (i - 1) / {GROUP})"
            columns = "id, path, type, namespace_id, name, state, publishers_only, created_at"
            yield (
                f"INSERT INTO resource ({columns}) SELECT 1000 + i, 'models/n' || {space} || '/m' || i, 'model',"
                f" 1000 + {space}, 'm' || i, 'active', 0, {self.now} FROM {series}"
            )
            columns = "id, version, enabled, resource_id, issuer_id, resource_server_id, operations, created_by"
            yield (
                f"INSERT INTO publisher ({columns}, created_at, last_used_at) SELECT 'pub_' || i, 1, 1, 1000 + i, 1, 1,"
                f" 'read write create', 'cli:bench', {self.now} - i % 1000, {self.now} FROM {series}"
            )
            for value in ("'repository', 'eq', 'acme/r' || i", "'branch', 'eq', 'main'"):
                yield (
                    "INSERT INTO condition (publisher_id, claim, operator, value)"
                    f" SELECT 'pub_' || i, {value} FROM {series}"
                )
            for value in ("'repository_id', 'given', '' || i", "'repository_owner_id', 'given', '7'"):
                yield f"INSERT INTO pin (publisher_id, claim, source, value) SELECT 'pub_' || i, {value} FROM {series}"
        if series := self._part(first, last, tokens):
            columns = "jti, publisher_id, publisher_version, issuer_id, resource, scope, audience, ci_subject"
            yield (
                f"INSERT INTO token ({columns}, issued_at, expires_at)"
                f" SELECT 't' || i, 'pub_' || {whose}, 1, 1, {path}, 'read write create', 'bench', 'repo:acme/train',"
                f" {self.now} - 100, {self.now} + 1200 + i % 2000 FROM {series}"
            )
        if series := self._part(first, last, events):
            at = f"{self.now - SPAN_SECONDS} + i * {SPAN_SECONDS} / {events}"
            kind = (
                "CASE WHEN i % 50 = 0 THEN 'publisher.changed' WHEN i % 10 = 1 THEN 'exchange.refused'"
                " ELSE 'token.granted' END"
            )
            actor = "CASE WHEN i % 50 = 0 THEN 'cli:somebody' END"
            reason = "CASE WHEN i % 10 = 1 THEN 'no_matching_publisher' END"
            yield (
                f"{_EVENT}'w_fill', i, {self._hashes}, {at}, {kind}, {actor}, 'r' || i, 'pub_' || {whose}, {path},"
                f" 't' || i, {reason} FROM {series}"
            )
            yield (
                "INSERT INTO audit_contact (writer, sequence, at, address, user_agent)"
                f" SELECT 'w_fill', i, {at}, '192.0.2.7', 'keyless' FROM {series}"
            )

    def _part(self, first: int, last: int, count: int) -> str:
        return self._series(first, min(last, count)) if count >= first else ""

    def _series(self, first: int, last: int) -> str:
        """Return a table of the numbers `i`, both ends included."""
        if not self.sqlite:
            return f"generate_series({first}::bigint, {last}::bigint) AS n(i)"
        numbers = f"SELECT {first} AS i UNION ALL SELECT i + 1 FROM n WHERE i < {last}"
        return f"(WITH RECURSIVE n(i) AS ({numbers}) SELECT i FROM n)"

    @property
    def _hashes(self) -> str:
        if self.sqlite:
            return "randomblob(32), randomblob(32)"
        return "sha256(i::text::bytea), sha256((i + 1)::text::bytea)"


def fill_sqlite(path: Path, size: Size) -> None:
    """Fill the database of a service that does not run; indexes are made afterwards, from sorted keys."""
    names = ", ".join(f"'{name}'" for name in _FILLED)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("synchronous = OFF", "cache_size = -500000", "temp_store = MEMORY", "foreign_keys = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        query = (
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({names})"
        )
        indexes = connection.execute(query).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        for step in Filling(size, sqlite=True, now=int(time.time())).steps():
            connection.execute("BEGIN IMMEDIATE")
            for statement in step:
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for _, text in indexes:
            connection.execute(text)
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def fill_postgres(server: Postgres, database: str, size: Size) -> None:
    """Fill a database of a service that does not run; as above."""

    def ask(sql: str) -> str:
        return server.ask(f"SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; {sql}", database)

    names = ", ".join(f"'{name}'" for name in _FILLED)
    query = (
        "SELECT i.indexname || '|' || i.indexdef FROM pg_indexes i WHERE i.schemaname = 'public'"
        f" AND i.tablename IN ({names}) AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname)"
    )
    indexes = [line.split("|", 1) for line in server.ask(query, database).splitlines()]
    ask("".join(f"DROP INDEX {name};" for name, _ in indexes))
    for step in Filling(size, sqlite=False, now=int(time.time())).steps():
        # Without triggers: the outbox is not what is filled here.
        ask(f"SET session_replication_role = replica; {'; '.join(step)}")
    for _, text in indexes:
        ask(text)
    for name in _FILLED:
        server.ask(f"VACUUM ANALYZE {name}", database)
