"""Audit events for people: pages of them, the newest first, and one."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select

from keyless.server.audit.reader import AuditRecord
from keyless.server.store import tables

_event, _contact, _issuer = tables.audit_event, tables.audit_contact, tables.issuer
_QUERY: Final[Select[Any]] = (
    select(
        _event,
        _issuer.c.url.label("issuer"),
        _contact.c.address,
        _contact.c.user_agent,
    )
    .outerjoin(_issuer, _issuer.c.id == _event.c.issuer_id)
    .outerjoin(_contact, (_contact.c.writer == _event.c.writer) & (_contact.c.sequence == _event.c.sequence))
)
LAST: Final = 2**63 - 1


def page(
    connection: Connection, *, resource: str | None, before: int | None, limit: int
) -> list[tuple[int, AuditRecord]]:
    """Return events of one resource or of all, the newest first, each with its number.

    Args:
        connection: To read over.
        resource: Canonical resource, or `None`.
        before: The number of the last event of the page before.
        limit: How many at most.
    """
    query = _QUERY.where(_event.c.id < (before or LAST)).order_by(_event.c.id.desc()).limit(limit)
    if resource is not None:
        query = query.where(_event.c.resource == resource)
    return [(row.id, _record(row)) for row in connection.execute(query).all()]


def find(connection: Connection, writer: str, sequence: int) -> AuditRecord | None:
    """Return one event, or `None`."""
    row = connection.execute(_QUERY.where(_event.c.writer == writer, _event.c.sequence == sequence)).first()
    return None if row is None else _record(row)


def _record(row: Row[Any]) -> AuditRecord:
    return AuditRecord(
        writer=row.writer,
        sequence=row.sequence,
        at=row.at,
        kind=row.kind,
        actor=row.actor,
        request_id=row.request_id,
        publisher_id=row.publisher_id,
        issuer=row.issuer,
        resource=row.resource,
        jti=row.jti,
        ci_subject=row.ci_subject,
        reason=row.reason,
        data=json.loads(row.data) if row.data else {},
        address=row.address,
        user_agent=row.user_agent,
    )
