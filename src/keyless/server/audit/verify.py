"""Checking the audit chains: nothing changed, nothing missing in between, nothing twice (D15).

What this cannot see is a chain cut off at its end, or a whole writer taken out: that is what signed checkpoints outside
the database are for.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from keyless.server.audit.chain import COLUMNS, GENESIS
from keyless.server.audit.event import AuditEvent, event_hash

MAX_PROBLEMS: Final = 100  # a broken database has as many as it has rows

_ROWS: Final = f"SELECT {COLUMNS} FROM audit_event ORDER BY writer, sequence"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Say what was found: how many events of how many writers, and what is wrong with them."""

    writers: int
    events: int
    problems: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Tell whether every chain is whole."""
        return not self.problems


def verify_chain(connection: sqlite3.Connection) -> ChainReport:
    """Follow the chain of every writer from its first event and recompute each hash."""
    problems: list[str] = []
    writers = events = 0
    current: str | None = None
    expected_sequence, expected_previous = 1, GENESIS
    for row in connection.execute(_ROWS):
        writer, sequence, previous, digest, *fields = row
        events += 1
        if writer != current:
            current = writer
            writers += 1
            expected_sequence, expected_previous = 1, GENESIS
        if len(problems) < MAX_PROBLEMS:
            if sequence != expected_sequence:
                problems.append(f"{writer}: event {expected_sequence} is missing, {sequence} follows")
            elif previous != expected_previous:
                problems.append(f"{writer}: event {sequence} does not follow from the one before it")
            if digest != event_hash(previous, writer, sequence, AuditEvent(*fields)):
                problems.append(f"{writer}: event {sequence} was changed after it was written")
        expected_sequence, expected_previous = sequence + 1, digest
    return ChainReport(writers, events, tuple(problems))
