"""Somebody who can write to the database file, knows how the chains are made, and has no key."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from keyless.server.audit.chain import COLUMNS, GENESIS
from keyless.server.audit.event import AuditEvent, event_hash


class Intruder:
    """Change the audit of a SQLite file, its triggers out of the way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        for act in ("update", "delete"):
            self.do(f"DROP TRIGGER audit_event_no_{act}")

    def do(self, statement: str, *values: object) -> list[Any]:
        """Run a statement."""
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def writer_of(self, kind: str) -> str:
        """Return the writer of the first event of a kind."""
        return str(self.do("SELECT writer FROM audit_event WHERE kind = ? ORDER BY id LIMIT 1", kind)[0][0])

    def last(self, writer: str) -> int:
        """Return the last sequence number of a writer."""
        return int(self.do("SELECT max(sequence) FROM audit_event WHERE writer = ?", writer)[0][0])

    def rewrite(self, writer: str, *, since: int = 1) -> None:
        """Say that somebody else did it, in every event since a number, and make all hashes fit again."""
        rows = self.do(f"SELECT {COLUMNS} FROM audit_event WHERE writer = ? ORDER BY sequence", writer)
        previous = GENESIS
        for _writer, sequence, _previous, old_digest, *fields in rows:
            event, digest = AuditEvent(*fields), old_digest
            if sequence >= since:
                event = event._replace(actor="somebody else")
                digest = event_hash(previous, writer, sequence, event)
                self.do(
                    "UPDATE audit_event SET actor = ?, previous = ?, hash = ? WHERE writer = ? AND sequence = ?",
                    *(event.actor, previous, digest, writer, sequence),
                )
            previous = digest
