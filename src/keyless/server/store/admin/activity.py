"""Reading the audit backwards for lists of pages: by key, and never more than a bounded number of rows at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select

from keyless.resource import Resource, namespace_of
from keyless.server.audit.event import EventKind
from keyless.server.store import tables

EXCHANGES: Final = frozenset(
    kind.value
    for kind in (
        EventKind.TOKEN_GRANTED,
        EventKind.EXCHANGE_REFUSED,
        EventKind.EXCHANGE_FAILED,
        EventKind.EXCHANGE_EXPLAINED,
    )
)
SCANNED_ROWS: Final = 2_000  # of one page: whoever filters sharply is offered to look further back
_CHUNK_ROWS: Final = 250


@dataclass(frozen=True, slots=True)
class Activity:
    """One audit event as pages show it. `id` orders events; `at` is Unix seconds."""

    id: int
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
    data: Mapping[str, Any]
    address: str | None
    user_agent: str | None

    @property
    def claims(self) -> Mapping[str, str]:
        """Return the claims of the id token that are kept."""
        claims = self.data.get("claims", {})
        return claims if isinstance(claims, dict) else {}

    @property
    def namespace(self) -> str | None:
        """Return the namespace that it is about."""
        return None if self.resource is None else namespace_of(self.resource)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events, the newest first. `before` continues it; `None` when there is nothing older."""

    events: list[Activity]
    before: int | None


def scan(
    connection: Connection,
    *,
    wanted: Callable[[Activity], bool],
    resource: Resource | None = None,
    before: int | None = None,
    limit: int,
    scanned_rows: int = SCANNED_ROWS,
) -> Found:
    """Return the latest events that are wanted, after looking at no more than `scanned_rows`.

    Args:
        connection: To read over.
        wanted: Which ones.
        resource: Only of this one, by its index.
        before: Only older ones than that of this id.
        limit: How many at most.
        scanned_rows: How many rows are looked at before the page ends, full or not.
    """
    table = tables.audit_event
    events: list[Activity] = []
    seen = 0
    while seen < scanned_rows:
        query = _QUERY if resource is None else _QUERY.where(table.c.resource == str(resource))
        if before is not None:
            query = query.where(table.c.id < before)
        rows = connection.execute(query.order_by(table.c.id.desc()).limit(_CHUNK_ROWS)).all()
        for row in rows:
            seen += 1
            before = int(row.id)
            if wanted(event := _made(row)):
                events.append(event)
                if len(events) == limit:
                    return Found(events, before)
        if len(rows) < _CHUNK_ROWS:
            return Found(events, None)
    return Found(events, before)


def find(connection: Connection, event_id: int) -> Activity | None:
    """Return one event, or `None`."""
    row = connection.execute(_QUERY.where(tables.audit_event.c.id == event_id)).first()
    return None if row is None else _made(row)


def of_kinds(kinds: Collection[str], namespaces: Collection[str] | None) -> Callable[[Activity], bool]:
    """Return what is wanted of these kinds and namespaces; of all kinds when empty, all namespaces when `None`."""

    def wanted(event: Activity) -> bool:
        if kinds and event.kind not in kinds:
            return False
        return namespaces is None or event.namespace in namespaces

    return wanted


_QUERY: Final[Select[Any]] = (
    select(
        *tables.audit_event.c,
        tables.issuer.c.url,
        tables.audit_contact.c.address,
        tables.audit_contact.c.user_agent,
    )
    .outerjoin(tables.issuer, tables.issuer.c.id == tables.audit_event.c.issuer_id)
    .outerjoin(
        tables.audit_contact,
        (tables.audit_contact.c.writer == tables.audit_event.c.writer)
        & (tables.audit_contact.c.sequence == tables.audit_event.c.sequence),
    )
)


def _made(row: Row[Any]) -> Activity:
    return Activity(
        id=row.id,
        at=row.at,
        kind=row.kind,
        actor=row.actor,
        request_id=row.request_id,
        publisher_id=row.publisher_id,
        issuer=row.url,
        resource=row.resource,
        jti=row.jti,
        ci_subject=row.ci_subject,
        reason=row.reason,
        data=json.loads(row.data) if row.data else {},
        address=row.address,
        user_agent=row.user_agent,
    )
