"""Publishers of repositories that do not exist yet (T93).

They reserve nothing. The first of them to be used brings its resource into being, and so does whoever creates it
otherwise; the others are then gone, because the name is no longer free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from keyless.server.audit.event import AuditEvent, EventKind, event_data
from keyless.server.store.connection import Connection, Cursor
from keyless.server.store.grants import Grant
from keyless.server.store.pinning import BUMP_TRUST

PENDING_SECONDS: Final = 30 * 24 * 3600
NAME_TAKEN: Final = "name_taken"
"""Reason in the audit of a pending publisher that was removed because its resource came into being without it."""
LAPSED: Final = "lapsed"
"""Reason of a pending publisher that nobody used in time."""

_ACTIVATE: Final = "UPDATE resource SET state = 'active' WHERE path = ? AND state = 'pending'"
_AWAITED: Final = "SELECT 1 FROM resource WHERE path = ? AND state = 'pending'"
_AWAITED_AT: Final = """
SELECT 1 FROM resource r
JOIN publisher p ON p.resource_id = r.id
JOIN resource_server s ON s.id = p.resource_server_id
WHERE r.path = ? AND r.state = 'pending' AND s.audience = ? LIMIT 1
"""
_ORDINARY: Final = """
UPDATE publisher SET pending_until = NULL, version = version + 1 WHERE id = ? AND version = ? AND pending_until > ?
"""
_PENDING: Final = """
SELECT p.id, p.issuer_id, r.path FROM resource r JOIN publisher p ON p.resource_id = r.id
WHERE r.path = ? AND p.pending_until IS NOT NULL
"""
_LAPSED: Final = """
SELECT p.id, p.issuer_id, r.path FROM publisher p JOIN resource r ON r.id = p.resource_id
WHERE p.pending_until <= ?
"""
_REMOVE: Final = "DELETE FROM publisher WHERE id = ?"

Emit = Callable[[AuditEvent], object]


def bring_into_being(cursor: Cursor, grant: Grant, version: int, emit: Emit) -> bool:
    """Make the resource of a pending publisher's first grant exist, and the publisher an ordinary one.

    Call it after the claim on the id token and the token row (T116).

    Args:
        cursor: Of the caller's transaction.
        grant: Whose publisher is pending.
        version: The publisher's version now.
        emit: Takes the audit events.

    Returns:
        False when somebody else was faster; the caller rolls back.
    """
    cursor.execute(_ORDINARY, (grant.publisher_id, version, grant.issued_at))
    if cursor.rowcount != 1 or not resource_exists(
        cursor, grant.resource, at=grant.issued_at, emit=emit, request_id=grant.request_id
    ):
        return False
    emit(
        AuditEvent(
            at=grant.issued_at,
            kind=EventKind.PUBLISHER_ACTIVATED.value,
            request_id=grant.request_id,
            publisher_id=grant.publisher_id,
            issuer_id=grant.issuer_id,
            resource=grant.resource,
            jti=grant.jti,
            ci_subject=grant.ci_subject,
        )
    )
    return True


def resource_exists(
    cursor: Cursor,
    path: str,
    *,
    at: int,
    emit: Emit,
    actor: str | None = None,
    request_id: str | None = None,
) -> bool:
    """Note that a pending resource exists now and remove who still waits for it; false when it was not pending."""
    cursor.execute(_ACTIVATE, (path,))
    if cursor.rowcount != 1:
        return False
    cursor.execute(BUMP_TRUST)
    data = event_data(state="active")
    emit(
        AuditEvent(
            at=at,
            kind=EventKind.RESOURCE_CHANGED.value,
            actor=actor,
            request_id=request_id,
            resource=path,
            data=data,
        )
    )
    _remove(cursor, cursor.execute(_PENDING, (path,)).fetchall(), NAME_TAKEN, at, emit)
    return True


def is_awaited(connection: Connection, path: str, *, audience: str | None = None) -> bool:
    """Tell whether `resource_exists` has something to do, of what the resource server of this audience holds."""
    if audience is None:
        return connection.execute(_AWAITED, (path,)).fetchone() is not None
    return connection.execute(_AWAITED_AT, (path, audience)).fetchone() is not None


def any_lapsed(connection: Connection, *, at: int) -> bool:
    """Tell whether `remove_lapsed` has something to do."""
    return connection.execute(_LAPSED + " LIMIT 1", (at,)).fetchone() is not None


def remove_lapsed(cursor: Cursor, *, at: int, emit: Emit) -> int:
    """Remove the pending publishers whose time is over; return how many."""
    rows = cursor.execute(_LAPSED, (at,)).fetchall()
    if rows:
        cursor.execute(BUMP_TRUST)
        _remove(cursor, rows, LAPSED, at, emit)
    return len(rows)


def _remove(cursor: Cursor, rows: list[tuple[str, int, str]], reason: str, at: int, emit: Emit) -> None:
    for publisher_id, issuer_id, path in rows:
        cursor.execute(_REMOVE, (publisher_id,))
        emit(
            AuditEvent(
                at=at,
                kind=EventKind.PUBLISHER_REMOVED.value,
                publisher_id=publisher_id,
                issuer_id=issuer_id,
                resource=path,
                reason=reason,
            )
        )
