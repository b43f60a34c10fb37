"""Checking the audit chains: nothing changed, nothing missing in between, nothing twice (D15).

What this cannot see is a chain cut off at its end, or a whole writer taken out: that is what signed checkpoints outside
the database are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyless.server.audit.chain import COLUMNS, GENESIS
from keyless.server.audit.event import AuditEvent, event_hash

if TYPE_CHECKING:  # the store imports this room
    from keyless.server.store.connection import Connection

MAX_PROBLEMS: Final = 100  # a broken database has as many as it has rows

_PAGE_ROWS: Final = 5_000
# Along the index and a page at a time: neither engine has to hold or sort the whole audit.
_ROWS: Final = f"""
SELECT {COLUMNS} FROM audit_event WHERE (writer, sequence) > (?, ?) ORDER BY writer, sequence LIMIT {_PAGE_ROWS}
"""  # noqa: S608 - constants


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


def verify_chain(connection: Connection) -> ChainReport:
    """Follow the chain of every writer from its first event and recompute each hash."""
    problems: list[str] = []
    writers = events = 0
    current: str | None = None
    expected_sequence, expected_previous = 1, GENESIS
    for row in _rows(connection):
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


def _rows(connection: Connection) -> Iterator[tuple[Any, ...]]:
    after: tuple[str, int] = ("", 0)
    while page := connection.execute(_ROWS, after).fetchall():
        yield from page
        after = (page[-1][0], page[-1][1])
