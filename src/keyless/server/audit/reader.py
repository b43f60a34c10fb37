"""Reading the audit, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the store imports this room
    from keyless.server.store.connection import Connection


_EVENTS: Final = """
SELECT e.writer, e.sequence, e.at, e.kind, e.actor, e.request_id, e.publisher_id, i.url, e.resource, e.jti,
       e.ci_subject, e.reason, e.data, c.address, c.user_agent
FROM audit_event e
LEFT JOIN issuer i ON i.id = e.issuer_id
LEFT JOIN audit_contact c ON c.writer = e.writer AND c.sequence = e.sequence
{}
ORDER BY e.id DESC LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One event of the audit as it is shown. `at` is Unix seconds; `data` holds claims and details."""

    writer: str
    sequence: int
    at: int
    kind: str
    actor: str | None
    request_id: str | None
    publisher_id: str | None
    issuer: str | None
    resource: str | None
    jti: str | None
    ci_subject: str | None
    reason: str | None
    data: Mapping[str, object]
    address: str | None
    user_agent: str | None


def read_events(connection: Connection, *, resource: str | None = None, limit: int = 50) -> list[AuditRecord]:
    """Return the latest events, the newest last.

    Args:
        connection: Any connection to the database.
        resource: Canonical resource, or `None` for all.
        limit: How many.
    """
    if resource is None:
        rows = connection.execute(_EVENTS.format(""), (limit,)).fetchall()
    else:
        rows = connection.execute(_EVENTS.format("WHERE e.resource = ?"), (resource, limit)).fetchall()
    return [
        AuditRecord(**{**dict(zip(_FIELDS, row, strict=True)), "data": json.loads(row[12]) if row[12] else {}})
        for row in reversed(rows)
    ]


_FIELDS: Final = (
    *("writer", "sequence", "at", "kind", "actor", "request_id", "publisher_id", "issuer", "resource", "jti"),
    *("ci_subject", "reason", "data", "address", "user_agent"),
)
