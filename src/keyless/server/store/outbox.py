"""What a webhook is still to be told (migration 0009)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyless.server.store.connection import Connection, Cursor

KEEP_SECONDS: Final = 7 * 24 * 3600  # of what nobody takes, because no webhook is set

# The events by themselves, one by one: in one query with the keys a planner may read all of the audit instead.
_DUE: Final = """
SELECT writer, sequence, attempts FROM outbox WHERE next_at <= ? ORDER BY next_at, writer, sequence LIMIT ?
"""
_EVENT: Final = """
SELECT e.at, e.kind, e.actor, e.request_id, e.publisher_id, i.url, e.resource, e.ci_subject, e.reason, e.data
FROM audit_event e LEFT JOIN issuer i ON i.id = e.issuer_id WHERE e.writer = ? AND e.sequence = ?
"""
_TAKE: Final = """
UPDATE outbox SET attempts = attempts + 1, next_at = ?
WHERE writer = ? AND sequence = ? AND attempts = ? AND next_at <= ?
"""
_PUT_OFF: Final = "UPDATE outbox SET next_at = ? WHERE writer = ? AND sequence = ?"
_CROSS_OFF: Final = "DELETE FROM outbox WHERE writer = ? AND sequence = ?"
_PAGE: Final = """
SELECT o.writer, o.sequence, (SELECT e.at FROM audit_event e WHERE e.writer = o.writer AND e.sequence = o.sequence)
FROM outbox o WHERE (o.writer, o.sequence) > (?, ?) ORDER BY o.writer, o.sequence LIMIT 500
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event to be told. `attempts` counts this one, too."""

    writer: str
    sequence: int
    attempts: int
    content: Mapping[str, object]

    @property
    def id(self) -> str:
        """Return what the receiver knows the event by."""
        return f"{self.writer}:{self.sequence}"


def due(connection: Connection, now: int, limit: int) -> list[Waiting]:
    """Return events whose time has come, oldest first."""
    found = []
    for writer, sequence, attempts in connection.execute(_DUE, (now, limit)).fetchall():
        fields = connection.execute(_EVENT, (writer, sequence)).fetchone()
        if fields is None:  # pruned meanwhile; housekeeping forgets it
            continue
        names = ("at", "kind", "actor", "request_id", "publisher", "issuer", "resource", "ci_subject", "reason", "data")
        content = {name: value for name, value in zip(names, fields, strict=True) if value is not None}
        if "data" in content:
            content["data"] = json.loads(str(content["data"]))
        found.append(Waiting(writer, sequence, attempts + 1, {"id": f"{writer}:{sequence}", **content}))
    return found


def take(cursor: Cursor, event: Waiting, now: int, seconds: int) -> bool:
    """Take an event for so long; false when another replica was faster."""
    cursor.execute(_TAKE, (now + seconds, event.writer, event.sequence, event.attempts - 1, now))
    return cursor.rowcount == 1


def put_off(cursor: Cursor, event: Waiting, until: int) -> None:
    """Let an event be due again then."""
    cursor.execute(_PUT_OFF, (until, event.writer, event.sequence))


def cross_off(cursor: Cursor, event: Waiting) -> None:
    """Forget an event."""
    cursor.execute(_CROSS_OFF, (event.writer, event.sequence))


def stale(connection: Connection, before: int) -> Iterator[list[tuple[str, int]]]:
    """Return the keys of what nobody took in time, a few hundred at once."""
    last: tuple[str, int] = ("", 0)
    while rows := connection.execute(_PAGE, last).fetchall():
        if found := [(writer, sequence) for writer, sequence, at in rows if at is None or at < before]:
            yield found
        last = (rows[-1][0], rows[-1][1])


def forget(cursor: Cursor, keys: Sequence[tuple[str, int]]) -> None:
    """Forget events of these keys."""
    cursor.executemany(_CROSS_OFF, keys)
