"""One change of trust: a transaction, who makes it, and its audit rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, update

from keyless.server.audit.chain import Chain, Row
from keyless.server.audit.event import AuditEvent, EventKind, event_data
from keyless.server.store import tables


@dataclass(frozen=True, slots=True)
class Change:
    """Hold an open transaction. `at` is Unix seconds, `actor` and `request_id` are what the audit names.

    With `second_person` what is added or changed waits until somebody else than `actor` lets it in.
    """

    connection: Connection
    chain: Chain
    actor: str
    at: int
    request_id: str | None = None
    second_person: bool = False

    def record(
        self,
        event: EventKind,
        /,
        *,
        publisher_id: str | None = None,
        issuer_id: int | None = None,
        resource: str | None = None,
        reason: str | None = None,
        **data: object,
    ) -> None:
        """Write the audit row of this change and let every server know that trust changed."""
        self.note(event, publisher_id=publisher_id, issuer_id=issuer_id, resource=resource, reason=reason, **data)
        meta = tables.meta
        self.connection.execute(update(meta).where(meta.c.key == "trust_version").values(value=meta.c.value + 1))

    def note(
        self,
        event: EventKind,
        /,
        *,
        publisher_id: str | None = None,
        issuer_id: int | None = None,
        resource: str | None = None,
        reason: str | None = None,
        **data: object,
    ) -> None:
        """Write the audit row of something that changes no trust: no server has to read anything again."""
        row = AuditEvent(
            at=self.at,
            kind=event.value,
            actor=self.actor,
            request_id=self.request_id,
            publisher_id=publisher_id,
            issuer_id=issuer_id,
            resource=resource,
            reason=reason,
            data=event_data(claims=None, details=(), **data),
        )
        self.connection.execute(insert(tables.audit_event), _named(self.chain.link(row)))


def _named(row: Row) -> dict[str, object]:
    return dict(zip((c.name for c in tables.audit_event.c if c.name != "id"), row, strict=True))
