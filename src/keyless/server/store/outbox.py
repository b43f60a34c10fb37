"""What a webhook is still to be told (migration 0009)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyless.server.store.connection import Connection, Cursor

KEEP_SECONDS: Final = 7 * 24 * 3600  # of what nobody takes, because no webhook is set

_DUE: Final = """
SELECT o.writer, o.sequence, o.attempts, e.at, e.kind, e.actor, e.request_id, e.publisher_id, i.url, e.resource,
       e.ci_subject, e.reason, e.data
FROM outbox o
JOIN audit_event e ON e.writer = o.writer AND e.sequence = o.sequence
LEFT JOIN issuer i ON i.id = e.issuer_id
WHERE o.next_at <= ?
ORDER BY o.next_at, e.at, o.writer, o.sequence LIMIT ?
"""
_TAKE: Final = """
UPDATE outbox SET attempts = attempts + 1, next_at = ?
WHERE writer = ? AND sequence = ? AND attempts = ? AND next_at <= ?
"""
_PUT_OFF: Final = "UPDATE outbox SET next_at = ? WHERE writer = ? AND sequence = ?"
_CROSS_OFF: Final = "DELETE FROM outbox WHERE writer = ? AND sequence = ?"
_STALE: Final = """
DELETE FROM outbox WHERE EXISTS (SELECT 1 FROM audit_event e
WHERE e.writer = outbox.writer AND e.sequence = outbox.sequence AND e.at < ?)
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
    for writer, sequence, attempts, *fields in connection.execute(_DUE, (now, limit)).fetchall():
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


def purge(cursor: Cursor, before: int) -> None:
    """Forget what nobody took in time."""
    cursor.execute(_STALE, (before,))
