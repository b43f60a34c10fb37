"""Issued tokens after the exchange: their live state, revocation, settlement and the end of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keyless.server.audit.chain import INSERT_EVENT, Chain
from keyless.server.audit.event import AuditEvent, EventKind
from keyless.server.store.connection import Connection, Cursor
from keyless.server.store.grants import TokenState

PURGE_ROWS: Final = 500  # per transaction: an exchange that waits for it waits a few milliseconds
TOKEN_ROW_GRACE_SECONDS: Final = 24 * 3600  # an expired token's row stays for a day, for whoever looks into it

_STATE: Final = """
SELECT t.publisher_id, t.resource, t.scope, t.audience, i.url, t.ci_subject, t.issued_at, t.expires_at, t.revoked_at,
       CASE WHEN p.id IS NULL THEN 0 ELSE 1 END,
       CASE WHEN p.enabled = 1 AND (p.expires_at IS NULL OR p.expires_at > ?) THEN 1 ELSE 0 END,
       coalesce(i.enabled, 0),
       CASE WHEN r.state = 'active' AND n.state = 'active' AND NOT EXISTS (
         SELECT 1
         FROM token_resource x
         LEFT JOIN publisher xp ON xp.id = x.publisher_id
         LEFT JOIN resource xr ON xr.id = xp.resource_id AND xr.path = x.resource
         LEFT JOIN namespace xn ON xn.id = xr.namespace_id
         WHERE x.jti = t.jti AND (xp.id IS NULL OR xp.enabled = 0 OR xp.expires_at <= ?
                                  OR xr.id IS NULL OR xr.state <> 'active' OR xn.state <> 'active'))
         THEN 1 ELSE 0 END,
       (SELECT value FROM meta WHERE key = 'locked'),
       p.operations
FROM token t
LEFT JOIN publisher p ON p.id = t.publisher_id
LEFT JOIN issuer i ON i.id = t.issuer_id
LEFT JOIN resource r ON r.id = p.resource_id AND r.path = t.resource
LEFT JOIN namespace n ON n.id = r.namespace_id
WHERE t.jti = ?
"""
_REVOKE: Final = "UPDATE token SET revoked_at = ?, revoked_reason = ? WHERE jti = ? AND revoked_at IS NULL"
_WHOSE: Final = "SELECT publisher_id, issuer_id, resource, ci_subject FROM token WHERE jti = ?"
_FREE: Final = "DELETE FROM replay_use WHERE issuer_id = ? AND replay_key = ? AND jti = ?"
# Looked up first and deleted by key: a planner may answer `DELETE … WHERE key IN (SELECT …)` with the whole table.
_OVER_USES: Final = """
SELECT issuer_id, replay_key, n FROM replay_use WHERE expires_at < ? ORDER BY expires_at LIMIT ?
"""
_DROP_USE: Final = "DELETE FROM replay_use WHERE issuer_id = ? AND replay_key = ? AND n = ?"
_OVER_TOKENS: Final = "SELECT jti FROM token WHERE expires_at < ? ORDER BY expires_at LIMIT ?"
_DROP_TOKEN: Final = "DELETE FROM token WHERE jti = ?"


def read_token_state(connection: Connection, jti: str, now: int) -> TokenState | None:
    """Return what is true of a token now, or `None` when it was never issued or its row is gone."""
    row = connection.execute(_STATE, (now, now, jti)).fetchone()
    if row is None:
        return None
    *values, exists, enabled, issuer_enabled, active, locked, operations = row
    publisher_id, resource, scope, audience, ci_issuer, ci_subject, issued_at, expires_at, revoked_at = values
    return TokenState(
        jti=jti,
        publisher_id=publisher_id,
        resource=resource,
        scope=scope,
        audience=audience,
        ci_issuer=ci_issuer or "",
        ci_subject=ci_subject,
        issued_at=issued_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
        publisher_exists=bool(exists),
        publisher_enabled=bool(enabled),
        issuer_enabled=bool(issuer_enabled),
        resource_active=bool(active),
        as_of=now,
        all_locked=bool(locked),
        operations=operations or "",
    )


def revoke(
    cursor: Cursor,
    chain: Chain,
    jti: str,
    *,
    at: int,
    reason: str,
    kind: EventKind = EventKind.TOKEN_REVOKED,
    request_id: str | None = None,
    actor: str | None = None,
) -> bool:
    """Revoke a token and record it, within the caller's transaction; false when there is nothing to revoke."""
    cursor.execute(_REVOKE, (at, reason, jti))
    if cursor.rowcount != 1:
        return False
    publisher_id, issuer_id, resource, ci_subject = cursor.execute(_WHOSE, (jti,)).fetchone()
    event = AuditEvent(
        at=at,
        kind=kind.value,
        actor=actor,
        request_id=request_id,
        publisher_id=publisher_id,
        issuer_id=issuer_id,
        resource=resource,
        jti=jti,
        ci_subject=ci_subject,
        reason=reason,
    )
    cursor.execute(INSERT_EVENT, chain.link(event))
    return True


Unsettled = tuple[str, int, bytes]
"""Token id, and issuer and key of its claim, of a grant whose commit was not confirmed."""


def settle(cursor: Cursor, chain: Chain, grants: Sequence[Unsettled], *, at: int) -> int:
    """Take back tokens whose commit was not confirmed and which therefore nobody received (D14).

    Revokes those that did reach the disk, frees their claims so that the job can try again, and records it.

    Returns:
        How many there were.
    """
    found = 0
    for jti, issuer_id, replay_key in grants:
        if revoke(cursor, chain, jti, at=at, reason="undelivered", kind=EventKind.TOKEN_SETTLED):
            cursor.execute(_FREE, (issuer_id, replay_key, jti))
            found += 1
    return found


def purge_expired(cursor: Cursor, now: int) -> int:
    """Delete up to `PURGE_ROWS` claims and as many tokens that are long over; return how many went."""
    gone = 0
    for over, drop, before in (
        (_OVER_USES, _DROP_USE, now),
        (_OVER_TOKENS, _DROP_TOKEN, now - TOKEN_ROW_GRACE_SECONDS),
    ):
        if found := sorted(cursor.execute(over, (before, PURGE_ROWS)).fetchall()):  # in one order at every replica
            cursor.executemany(drop, found)
            gone += len(found)
    return gone
