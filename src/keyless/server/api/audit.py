"""The audit: what happened, to whom it may concern, and whether the record of it is whole (D15)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from keyless.jose.jwk import KeySet, PublicKey
from keyless.resource import parse_resource
from keyless.server.api.call import Answer, Call, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import ProblemError, not_found
from keyless.server.audit.reader import AuditFilter, AuditRecord
from keyless.server.representations.audit import audit_json
from keyless.server.representations.fields import Moment, Text
from keyless.server.store import Store

_LARGEST: Final = 2**63 - 1


class AuditQuery(PageQuery):
    """Ask for events, of one resource or, for who may look everywhere, of all.

    `kind` is one, or a group such as `exchange`; `since` (inclusive) and `until` (exclusive) are Unix seconds.
    """

    resource: Text | None = None
    publisher: Text | None = None
    kind: Text | None = None
    actor: Text | None = None
    since: Moment | None = None
    until: Moment | None = None


class Audit:
    """Show the audit.

    Args:
        store: Checks the chains.
        checkpoint_key: The service's own, if it has one.
    """

    def __init__(self, store: Store, checkpoint_key: PublicKey | None) -> None:
        self._store = store
        self._checkpoint_key = checkpoint_key

    def list(self, call: Call) -> Answer:
        """Return a page of events, the newest first."""
        query: AuditQuery = call.query
        resource = None
        if query.resource is not None:
            found = parse_resource(query.resource)
            call.may_see(found.namespace)
            resource = str(found)
        elif not call.signed_in.reads_everything:
            raise ProblemError(403, "forbidden", "name a resource: you may not look into every namespace")
        after = decode_cursor(query.after, int, int)
        wanted = AuditFilter(
            resource=resource,
            publisher_id=query.publisher,
            kind=query.kind,
            actor=query.actor,
            since=query.since,
            until=query.until,
        )
        before = None if after is None else (int(after[0]), int(after[1]))
        page = self._store.audit_page(wanted, before=before, limit=query.limit)
        following = None if page.before is None else encode_cursor(page.before)
        contact = call.signed_in.is_admin
        items = [audit_json(record, with_contact=contact) for record in page.records]
        return Answer(200, page_json(items, following))

    def show(self, call: Call) -> Answer:
        """Return one event."""
        sequence = call.path["sequence"]
        if not (sequence.isascii() and sequence.isdecimal()) or len(sequence) > 19 or int(sequence) > _LARGEST:
            raise not_found()
        events = self._store.audit_event(f"{call.path['writer']}:{sequence}")
        if not events:
            raise not_found()
        found = events[0]
        if not _is_visible(call, found):
            raise not_found()
        return Answer(200, audit_json(found, with_contact=call.signed_in.is_admin))

    def find(self, call: Call) -> Answer:
        """Return the events of one request or one token that are the caller's to see."""
        found = [
            record
            for record in self._store.audit_event(call.path["name"], everywhere=False)
            if _is_visible(call, record)
        ]
        if not found:
            raise not_found()
        contact = call.signed_in.is_admin
        return Answer(200, page_json([audit_json(record, with_contact=contact) for record in found], None))

    def verify(self, call: Call) -> Answer:
        """Follow the chain of every writer; reads the whole audit."""
        del call
        key = self._checkpoint_key
        report = self._store.verify_chain(keys=None if key is None else KeySet.of([key]))
        return Answer(200, {**asdict(report), "problems": list(report.problems), "intact": report.intact})

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation(
                id="listAudit", method="GET", path="/audit", handler=self.list, access=Access.READ, query=AuditQuery
            ),
            Operation(
                id="verifyAudit", method="POST", path="/audit/verify", handler=self.verify, access=Access.ADMIN_READ
            ),
            Operation(id="findAuditEvents", method="GET", path="/audit/{name}", handler=self.find, access=Access.READ),
            Operation(
                id="showAuditEvent",
                method="GET",
                path="/audit/{writer}/{sequence}",
                handler=self.show,
                access=Access.READ,
            ),
        )


def _is_visible(call: Call, record: AuditRecord) -> bool:
    if record.resource is None:
        return call.signed_in.reads_everything
    return call.signed_in.may_read(parse_resource(record.resource).namespace)
