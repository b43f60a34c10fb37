"""The chain of one writer (D15): each event carries the hash of the one before it.

A chain lives as long as its process. Its head moves on paper while a transaction is open, and for good only when the
transaction is known to be committed. Pure: the caller writes the rows.
"""

from __future__ import annotations

import secrets
from typing import Final

from keyless.server.audit.event import AuditEvent, event_hash

GENESIS: Final = bytes(32)
"""The previous hash of a chain's first event."""

EVENT_COLUMNS: Final = (
    *("writer", "sequence", "previous", "hash", "at", "kind", "actor", "request_id", "publisher_id", "issuer_id"),
    *("resource", "jti", "ci_subject", "reason", "data"),
)
COLUMNS: Final = ", ".join(EVENT_COLUMNS)
INSERT_EVENT: Final = f"INSERT INTO audit_event ({COLUMNS}) VALUES ({', '.join('?' * 15)})"  # noqa: S608 - constants

Row = tuple[str | int | bytes | None, ...]
Position = tuple[int, bytes]


class Chain:
    """Number and link the events of one writer. Not thread-safe: its owner holds a lock.

    Args:
        writer: The writer's id; a new random one when `None`.
    """

    def __init__(self, writer: str | None = None) -> None:
        self.writer: Final = writer or f"w_{secrets.token_hex(8)}"
        self._head: Position = (0, GENESIS)
        self._tip: Position = self._head

    @property
    def position(self) -> Position:
        """Return where the next event will be linked: the last sequence number and its hash."""
        return self._tip

    def rewind(self, position: Position) -> None:
        """Go back to an earlier `position` of the open transaction, whose later rows were rolled back."""
        self._tip = position

    def link(self, event: AuditEvent) -> Row:
        """Return the row for the next event, for `INSERT_EVENT`."""
        sequence, previous = self._tip
        sequence += 1
        digest = event_hash(previous, self.writer, sequence, event)
        self._tip = (sequence, digest)
        return (self.writer, sequence, previous, digest, *event)

    def confirm(self) -> None:
        """Keep what was linked: its transaction is committed."""
        self._head = self._tip

    def discard(self) -> None:
        """Forget what was linked: its transaction was rolled back."""
        self._tip = self._head

    def resume(self, position: Position) -> None:
        """Continue after the last row found in the database, when a commit's outcome was unknown."""
        self._head = self._tip = position
