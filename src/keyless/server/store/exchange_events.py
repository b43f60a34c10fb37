"""What the audit keeps of one exchange. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from keyless.server.audit.event import AuditEvent, EventKind, event_data
from keyless.server.store.grants import Grant, Refusal

STORAGE_REFUSED: Final = "storage_refused"
"""Reason in the audit of a member that the database did not take."""
MAX_CONTACT_CHARS: Final = 256  # of a user agent; longer ones say nothing more


def granted(grant: Grant, use: int) -> AuditEvent:
    """Return the event of a grant. `use` counts the uses of its id token."""
    return AuditEvent(
        at=grant.issued_at,
        kind=EventKind.TOKEN_GRANTED.value,
        request_id=grant.request_id,
        publisher_id=grant.publisher_id,
        issuer_id=grant.issuer_id,
        resource=grant.resource,
        jti=grant.jti,
        ci_subject=grant.ci_subject,
        data=event_data(claims=grant.claims, scope=grant.scope, use=use, expires_at=grant.expires_at),
    )


def pinned_event(grant: Grant) -> AuditEvent:
    """Return the event of the pins that a grant set."""
    return AuditEvent(
        at=grant.issued_at,
        kind=EventKind.PUBLISHER_PINNED.value,
        request_id=grant.request_id,
        publisher_id=grant.publisher_id,
        issuer_id=grant.issuer_id,
        resource=grant.resource,
        jti=grant.jti,
        ci_subject=grant.ci_subject,
        data=event_data(pins=dict(grant.first_use_pins)),
    )


def refused(refusal: Refusal) -> AuditEvent:
    """Return the event of a refusal or an explanation."""
    kind = EventKind.EXCHANGE_EXPLAINED if refusal.explained else EventKind.EXCHANGE_REFUSED
    if refusal.reason == STORAGE_REFUSED:
        kind = EventKind.EXCHANGE_FAILED
    return AuditEvent(
        at=refusal.at,
        kind=kind.value,
        request_id=refusal.request_id,
        publisher_id=refusal.publisher_id,
        issuer_id=refusal.issuer_id,
        resource=refusal.resource,
        ci_subject=refusal.ci_subject,
        reason=refusal.reason,
        data=event_data(claims=refusal.claims, details=refusal.details),
    )


def as_refusal(grant: Grant, reason: str) -> Refusal:
    """Return the refusal of what asked for a grant."""
    return Refusal(
        reason=reason,
        issuer_id=grant.issuer_id,
        request_id=grant.request_id,
        at=grant.issued_at,
        resource=grant.resource,
        ci_subject=grant.ci_subject,
        publisher_id=grant.publisher_id,
        claims=grant.claims,
        address=grant.address,
        user_agent=grant.user_agent,
    )


def failure(member: Grant | Refusal) -> Refusal:
    """Return what can be said of a member that the database did not take: nothing that it brought along unescaped."""
    refusal = as_refusal(member, STORAGE_REFUSED) if isinstance(member, Grant) else member
    return replace(
        refusal,
        reason=STORAGE_REFUSED,
        request_id=_plain(refusal.request_id),
        issuer_id=refusal.issuer_id if _is_small(refusal.issuer_id) else None,
        at=refusal.at if _is_small(refusal.at) else 0,
        resource=_plain(refusal.resource) if refusal.resource is not None else None,
        ci_subject=_plain(refusal.ci_subject) if refusal.ci_subject is not None else None,
        publisher_id=_plain(refusal.publisher_id) if refusal.publisher_id is not None else None,
        claims={},
        details=(),
        address=None,
        user_agent=None,
    )


def _plain(value: object) -> str:
    return str(value).encode("ascii", "backslashreplace").decode("ascii")[:MAX_CONTACT_CHARS]


def _is_small(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 2**53
