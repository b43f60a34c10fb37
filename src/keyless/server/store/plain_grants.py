"""Ordinary grants, many at once: one round of statements for all of them instead of one for each (D16, D17).

Ordinary is a grant of one token for one resource, whose id token may be used once, to a publisher that needs nothing
else written and is far from its limits. What each must satisfy is as ever, and checked by the statements that write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from keyless.oidc.issuer import ReplayMode
from keyless.server.store.connection import Cursor
from keyless.server.store.grants import Grant, Outcome, Refusal, Verdict
from keyless.server.store.limits import PublisherLimits

CLAIM: Final = """
INSERT INTO replay_use (issuer_id, replay_key, n, jti, used_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (issuer_id, replay_key, n) DO NOTHING
"""
UNCLAIM: Final = "DELETE FROM replay_use WHERE issuer_id = ? AND replay_key = ? AND n = ?"
# D16: nothing that was read before this statement is believed. The publisher is still the one that was matched, in
# force, of this issuer and for this resource, and neither issuer, resource, namespace nor everything was switched off.
MINT: Final = """
INSERT INTO token (jti, publisher_id, publisher_version, issuer_id, resource, scope, audience, ci_subject,
                   issued_at, expires_at)
SELECT ?, p.id, p.version, i.id, r.path, ?, s.audience, ?, ?, ?
FROM publisher p
JOIN issuer i ON i.id = p.issuer_id
JOIN resource r ON r.id = p.resource_id
JOIN namespace n ON n.id = r.namespace_id
JOIN resource_server s ON s.id = p.resource_server_id
JOIN meta k ON k.key = 'locked' AND k.value = 0
WHERE p.id = ? AND p.version = ? AND p.enabled = 1 AND (p.expires_at IS NULL OR p.expires_at > ?)
  AND i.id = ? AND i.enabled = 1 AND r.path = ? AND n.state = 'active' AND s.audience = ?
  AND ((r.state = 'active' AND p.pending_until IS NULL) OR (r.state = 'pending' AND p.pending_until > ?))
"""
_HOLDER: Final = "SELECT jti, used_at FROM replay_use WHERE issuer_id = ? AND replay_key = ? AND n = 1"
_MINTED: Final = "SELECT 1 FROM token WHERE jti = ?"
_GRANTED: Final = Outcome(Verdict.GRANTED, use=1)


def is_plain(member: Grant | Refusal) -> bool:
    """Tell whether a member of a batch can be written by `grant_together`."""
    return (
        isinstance(member, Grant)
        and member.replay_mode is ReplayMode.ONCE
        and not member.first_use_pins
        and not member.also
        and not member.pending
        and not member.max_grants_per_hour
    )


def plain_members(batch: Sequence[Grant | Refusal], limits: PublisherLimits) -> list[Grant]:
    """Return the members of a batch that `grant_together` can write: all of a publisher's, or none."""
    plain = [member for member in batch if isinstance(member, Grant) and is_plain(member)]
    capped = Counter(grant.publisher_id for grant in plain if grant.max_live_tokens)
    if not capped:
        return plain
    first = {grant.publisher_id: grant for grant in reversed(plain)}
    # In one order everywhere: the engine may lock each publisher's row.
    full = {name for name in sorted(capped) if not limits.has_room(first[name], capped[name])}
    return [grant for grant in plain if grant.publisher_id not in full]


def mint_parameters(grant: Grant, version: int) -> tuple[object, ...]:
    """Return the parameters of `MINT` for a publisher in that version."""
    return (
        grant.jti,
        grant.scope,
        grant.ci_subject,
        grant.issued_at,
        grant.expires_at,
        grant.publisher_id,
        version,
        grant.issued_at,
        grant.issuer_id,
        grant.resource,
        grant.audience,
        grant.issued_at,
    )


def grant_together(cursor: Cursor, grants: Sequence[Grant]) -> dict[str, Outcome]:
    """Claim and mint plain grants in the open transaction; return what became of each, by `jti`."""
    if not grants:
        return {}
    # In the order of the keys: two replicas with the same id tokens wait for each other instead of locking each other.
    grants = sorted(grants, key=lambda grant: grant.replay_key)
    cursor.executemany(CLAIM, [(g.issuer_id, g.replay_key, 1, g.jti, g.issued_at, g.replay_expires_at) for g in grants])
    outcomes = {grant.jti: _GRANTED for grant in grants}
    if cursor.rowcount != len(grants):  # somebody was there before, in this batch or an earlier one
        for grant in grants:
            holder, used_at = cursor.execute(_HOLDER, (grant.issuer_id, grant.replay_key)).fetchone()
            if holder != grant.jti:
                outcomes[grant.jti] = Outcome(Verdict.REPLAYED, first_used_at=used_at)
        grants = [grant for grant in grants if outcomes[grant.jti] is _GRANTED]
        if not grants:
            return outcomes
    cursor.executemany(MINT, [mint_parameters(grant, grant.publisher_version) for grant in grants])
    if cursor.rowcount != len(grants):  # a publisher, issuer, resource or namespace is no longer what it was
        for grant in grants:
            if cursor.execute(_MINTED, (grant.jti,)).fetchone() is None:
                cursor.execute(UNCLAIM, (grant.issuer_id, grant.replay_key, 1))
                outcomes[grant.jti] = Outcome(Verdict.PUBLISHER_CHANGED)
    return outcomes
