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
_STANDING: Final = """
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
_INSERT_TOKEN: Final = """
INSERT INTO token (jti, publisher_id, publisher_version, issuer_id, resource, scope, audience, ci_subject,
                   issued_at, expires_at)
"""
MINT: Final = f"{_INSERT_TOKEN}SELECT ?, p.id, p.version, i.id, r.path, ?, s.audience, ?, ?, ?{_STANDING}"
_STANDS: Final = f"SELECT 1{_STANDING}"  # asked of many grants at once, where nobody else can write until they are in
_MINT_STANDING: Final = f"{_INSERT_TOKEN}VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
    minted = (grant.jti, grant.scope, grant.ci_subject, grant.issued_at, grant.expires_at)
    return (*minted, *_standing_parameters(grant, version, grant.issued_at))


def _standing_parameters(grant: Grant, version: int, at: int) -> tuple[object, ...]:
    return (grant.publisher_id, version, at, grant.issuer_id, grant.resource, grant.audience, at)


def grant_together(cursor: Cursor, grants: Sequence[Grant]) -> dict[str, Outcome]:
    """Claim and mint plain grants in the open transaction; return what became of each, by `jti`."""
    if not grants:
        return {}
    # In the order of the keys: two replicas with the same id tokens wait for each other instead of locking each other.
    grants = sorted(grants, key=lambda grant: grant.replay_key)
    cursor.executemany(
        CLAIM,
        # A `bytearray`, because `sqlite3` asks `bytes` for an adapter each time.
        [(g.issuer_id, bytearray(g.replay_key), 1, g.jti, g.issued_at, g.replay_expires_at) for g in grants],
    )
    outcomes = {grant.jti: _GRANTED for grant in grants}
    if cursor.rowcount != len(grants):  # somebody was there before, in this batch or an earlier one
        for grant in grants:
            holder, used_at = cursor.execute(_HOLDER, (grant.issuer_id, grant.replay_key)).fetchone()
            if holder != grant.jti:
                outcomes[grant.jti] = Outcome(Verdict.REPLAYED, first_used_at=used_at)
        grants = [grant for grant in grants if outcomes[grant.jti] is _GRANTED]
        if not grants:
            return outcomes
    changed = [] if _mint_together(cursor, grants) else grants
    for grant in changed:  # a publisher, issuer, resource or namespace is no longer what it was
        if cursor.execute(_MINTED, (grant.jti,)).fetchone() is None:
            cursor.execute(UNCLAIM, (grant.issuer_id, grant.replay_key, 1))
            outcomes[grant.jti] = Outcome(Verdict.PUBLISHER_CHANGED)
    return outcomes


def _mint_together(cursor: Cursor, grants: Sequence[Grant]) -> bool:
    """Mint what may be minted; tell whether that was all."""
    alike: dict[tuple[object, ...], list[Grant]] = {}
    for grant in grants:
        whose = (grant.publisher_id, grant.publisher_version, grant.issuer_id, grant.resource, grant.audience)
        alike.setdefault(whose, []).append(grant)
    standing: list[tuple[object, ...]] = []
    others: list[tuple[object, ...]] = []
    for (publisher_id, version, issuer_id, resource, audience), group in alike.items():
        latest = max(grant.issued_at for grant in group)  # what stands then stood for the earlier ones
        asked = _standing_parameters(group[0], group[0].publisher_version, latest)
        if len(group) > 1 and cursor.execute(_STANDS, asked).fetchone() is not None:
            standing += [
                (g.jti, publisher_id, version, issuer_id, resource, g.scope, audience, g.ci_subject, g.issued_at,
                 g.expires_at)
                for g in group
            ]  # fmt: skip
        else:
            others += [mint_parameters(grant, grant.publisher_version) for grant in group]
    if standing:
        cursor.executemany(_MINT_STANDING, standing)
    if not others:
        return True
    cursor.executemany(MINT, others)
    return cursor.rowcount == len(others)
