"""An audit event as JSON, and back."""

from __future__ import annotations

from dataclasses import asdict

from keyless.server.audit.reader import AuditRecord
from keyless.server.representations import reading
from keyless.server.representations.reading import Json


def audit_json(record: AuditRecord, *, with_contact: bool = True) -> dict[str, object]:
    """Return an event; address and user agent are personal data and not for everybody (D15)."""
    content = asdict(record)
    content["data"] = dict(record.data)
    del content["id"]  # of one database; the writer and the sequence are what names an event
    if not with_contact:
        content["address"] = content["user_agent"] = None
    return content


def audit_from_json(content: Json) -> AuditRecord:
    """Read what `audit_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    return AuditRecord(
        writer=reading.text(content, "writer"),
        sequence=reading.number(content, "sequence"),
        at=reading.number(content, "at"),
        kind=reading.text(content, "kind"),
        actor=reading.maybe_text(content, "actor"),
        request_id=reading.maybe_text(content, "request_id"),
        publisher_id=reading.maybe_text(content, "publisher_id"),
        issuer=reading.maybe_text(content, "issuer"),
        resource=reading.maybe_text(content, "resource"),
        jti=reading.maybe_text(content, "jti"),
        ci_subject=reading.maybe_text(content, "ci_subject"),
        reason=reading.maybe_text(content, "reason"),
        data=reading.mapping(content, "data"),
        address=reading.maybe_text(content, "address"),
        user_agent=reading.maybe_text(content, "user_agent"),
        run_url=reading.maybe_text(content, "run_url"),
        previous=reading.text(content, "previous"),
        hash=reading.text(content, "hash"),
    )
