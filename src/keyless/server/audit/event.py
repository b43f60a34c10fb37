"""One audit event, and the bytes of it that the chain covers. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from keyless.jose.json import compact_encoder


class EventKind(StrEnum):
    """Name what happened; part of the public audit format, never reused for something else."""

    TOKEN_GRANTED = "token.granted"
    TOKEN_REVOKED = "token.revoked"
    TOKEN_SETTLED = "token.settled"
    EXCHANGE_REFUSED = "exchange.refused"
    EXCHANGE_FAILED = "exchange.failed"
    EXCHANGE_EXPLAINED = "exchange.explained"
    PUBLISHER_ADDED = "publisher.added"
    PUBLISHER_PINNED = "publisher.pinned"
    PUBLISHER_CHANGED = "publisher.changed"
    PUBLISHER_ACTIVATED = "publisher.activated"
    PUBLISHER_PAUSED = "publisher.paused"
    PUBLISHER_ENABLED = "publisher.enabled"
    PUBLISHER_DISABLED = "publisher.disabled"
    PUBLISHER_REMOVED = "publisher.removed"
    RESOURCE_ADDED = "resource.added"
    RESOURCE_CHANGED = "resource.changed"
    NAMESPACE_CHANGED = "namespace.changed"
    SERVICE_LOCKED = "service.locked"
    SERVICE_UNLOCKED = "service.unlocked"
    ISSUER_ADDED = "issuer.added"
    ISSUER_ENABLED = "issuer.enabled"
    ISSUER_DISABLED = "issuer.disabled"
    ISSUER_KEYS_CHANGED = "issuer.keys_changed"
    ISSUER_KEYS_REPLACED = "issuer.keys_replaced"
    ISSUER_KEYS_REFRESHED = "issuer.keys_refreshed"
    ISSUER_KEYS_PINNED = "issuer.keys_pinned"
    ISSUER_KEYS_UNPINNED = "issuer.keys_unpinned"
    ISSUER_KEY_DISTRUSTED = "issuer.key_distrusted"
    ISSUER_KEY_TRUSTED = "issuer.key_trusted"
    RESOURCE_SERVER_ADDED = "resource_server.added"
    RESOURCE_SERVER_CHANGED = "resource_server.changed"
    RESOURCE_SERVER_REMOVED = "resource_server.removed"
    KEY_ADDED = "key.added"
    KEY_ACTIVATED = "key.activated"
    KEY_RETIRED = "key.retired"
    KEY_DISTRUSTED = "key.distrusted"
    AUDIT_PRUNED = "audit.pruned"
    PRINCIPAL_ADDED = "principal.added"
    PRINCIPAL_CHANGED = "principal.changed"
    PRINCIPAL_REMOVED = "principal.removed"
    LOGIN_CODE_MADE = "login_code.made"
    LOGIN_STARTED = "login.started"
    LOGIN_REFUSED = "login.refused"
    LOGIN_ENDED = "login.ended"
    POLICY_APPLIED = "policy.applied"
    POLICY_REFUSED = "policy.refused"


EXCHANGES: Final = frozenset(
    kind.value
    for kind in (
        EventKind.TOKEN_GRANTED,
        EventKind.EXCHANGE_REFUSED,
        EventKind.EXCHANGE_FAILED,
        EventKind.EXCHANGE_EXPLAINED,
    )
)
"""What a request for a token leaves, whatever became of it."""


class AuditEvent(NamedTuple):
    """Say what happened, who did it and to what. The field order is the order of the columns and of the hash.

    `at` is Unix seconds. `data` is a JSON object as text, from `event_data`.
    """

    at: int
    kind: str
    actor: str | None = None
    request_id: str | None = None
    publisher_id: str | None = None
    issuer_id: int | None = None
    resource: str | None = None
    jti: str | None = None
    ci_subject: str | None = None
    reason: str | None = None
    data: str | None = None


_encode: Final = compact_encoder(ensure_ascii=True)

_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})

FORMAT: Final = "keyless-audit-1"
"""First member of what is hashed, so that a later format cannot be taken for this one."""


def event_data(*, claims: Mapping[str, str] | None = None, details: Sequence[str] = (), **more: object) -> str | None:
    """Return the free part of an event as JSON text, or `None` when there is nothing to say.

    What is `None` or empty is left out. Only ASCII comes out: a control character or a lone surrogate in a claim is
    stored as an escape (T18).
    """
    data: dict[str, object] = {name: value for name, value in more.items() if value not in _NOTHING}
    if claims:
        data["claims"] = dict(claims)
    if details:
        data["details"] = list(details)
    return _encode(data) if data else None


def event_hash(previous: bytes, writer: str, sequence: int, event: AuditEvent) -> bytes:
    """Return the hash that links an event to the one before it of the same writer.

    Covers every column: SHA-256 over the previous hash, then a JSON array of format, writer, sequence and the event's
    fields, without spaces and with all non-ASCII characters escaped.
    """
    return hashlib.sha256(previous + _encode((FORMAT, writer, sequence, *event)).encode("ascii")).digest()
