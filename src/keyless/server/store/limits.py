"""What one publisher may hold at once and do in an hour, inside the transaction of the mint (T78, T117).

Exact, because nobody else mints for the publisher meanwhile: the transaction is the database's only writer, or holds
the lock of the publisher's row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from keyless.server.audit.chain import Chain
from keyless.server.audit.event import AuditEvent, EventKind, event_data
from keyless.server.store import tokens
from keyless.server.store.connection import Connection, Cursor
from keyless.server.store.grants import Grant
from keyless.server.store.pinning import BUMP_TRUST

HOUR_SECONDS: Final = 3600
MAX_COUNTED_PUBLISHERS: Final = 10_000  # whose live tokens are remembered
UNUSED_REASON: Final = "unused"
"""Reason of a publisher that was paused because nobody used it for long."""
CAP_REASON: Final = "live_token_cap"
"""Reason in the audit of a token that was revoked to make room for a newer one of its publisher."""
ALARM_REASON: Final = "volume_alarm"
"""Reason of a publisher that was paused because it got more tokens in an hour than it should."""

# Reads no more entries of the index of live tokens than the cap has.
_LIVE: Final = """
SELECT count(*) FROM
(SELECT 1 FROM token WHERE publisher_id = ? AND expires_at > ? AND revoked_at IS NULL LIMIT ?) AS live
"""
_ENDED: Final = """
SELECT count(*) FROM token WHERE publisher_id = ? AND expires_at > ? AND expires_at <= ? AND revoked_at IS NULL
"""
_FIRST_TO_END: Final = """
SELECT jti, expires_at FROM token WHERE publisher_id = ? AND expires_at > ? AND revoked_at IS NULL
ORDER BY expires_at, jti LIMIT 1
"""
_COUNT_HOUR: Final = """
INSERT INTO publisher_hour (publisher_id, hour, grants) VALUES (?, ?, 1)
ON CONFLICT (publisher_id, hour) DO UPDATE SET grants = publisher_hour.grants + 1
RETURNING grants
"""
_PAUSE: Final = """
UPDATE publisher SET enabled = 0, version = version + 1, paused_at = ?, paused_reason = ? WHERE id = ? AND enabled = 1
"""


_UNUSED: Final = """
SELECT p.id, p.issuer_id, r.path FROM publisher p JOIN resource r ON r.id = p.resource_id
WHERE p.id = ? AND p.enabled = 1 AND p.pending_until IS NULL AND p.created_at < ? AND coalesce(p.last_used_at, 0) < ?
  AND coalesce(p.paused_at, 0) < ?
"""
# No index is kept for it: one would be written to with every use.
_PAGE: Final = """
SELECT id, enabled, created_at, coalesce(last_used_at, 0), coalesce(paused_at, 0) FROM publisher
WHERE id > ? ORDER BY id LIMIT 1000
"""


def find_unused(connection: Connection, *, before: int) -> list[str]:
    """Return the ids of publishers that `pause_unused` may pause; looks at all of them, a thousand at once."""
    found: list[str] = []
    last = ""
    while rows := connection.execute(_PAGE, (last,)).fetchall():
        found += [row[0] for row in rows if row[1] and max(row[2:]) < before]
        last = rows[-1][0]
    return found


def pause_unused(
    cursor: Cursor, ids: Iterable[str], *, before: int, at: int, emit: Callable[[AuditEvent], object]
) -> list[str]:
    """Pause those publishers in force that nobody used, paused or added since a time; return their ids (T92)."""
    found = [row for name in ids for row in cursor.execute(_UNUSED, (name, before, before, before)).fetchall()]
    for publisher_id, issuer_id, path in found:
        cursor.execute(_PAUSE, (at, UNUSED_REASON, publisher_id))
        emit(
            AuditEvent(
                at=at,
                kind=EventKind.PUBLISHER_PAUSED.value,
                actor="serve",
                publisher_id=publisher_id,
                issuer_id=issuer_id,
                resource=path,
                reason=UNUSED_REASON,
            )
        )
    if found:
        cursor.execute(BUMP_TRUST)
    return [row[0] for row in found]


class LiveCounts:
    """Remember how many live tokens publishers have, from one batch to the next, for as long as that is exact.

    Where nobody else has written to the database since, a count is still right but for the tokens that have ended
    meanwhile, and these are few to look up. Where others may write at any time, nothing is remembered.
    """

    def __init__(self) -> None:
        self.counts: dict[str, tuple[int, int]] = {}
        """Publisher -> how many live tokens, and as of when in Unix seconds."""
        self._mark: object = None

    def begin(self, mark: object) -> None:
        """Forget what others may have changed; `mark` is `Database.write_mark` as the transaction begins."""
        if mark is None or mark != self._mark or len(self.counts) > MAX_COUNTED_PUBLISHERS:
            self.counts.clear()
        self._mark = None

    def keep(self, mark: object) -> None:
        """Believe the counts of a transaction that was committed; `mark` is that of its end, before the commit."""
        self._mark = mark


class PublisherLimits:
    """Count for the members of one batch; a publisher's live tokens are read once and then followed.

    Args:
        cursor: Of the open transaction.
        chain: The audit chain of this process.
        emit: Takes the audit events of what is done here.
        live: What is known of live tokens; empty when nobody knows.
        row_lock: The engine's; see `Database`.
    """

    def __init__(
        self,
        cursor: Cursor,
        chain: Chain,
        emit: Callable[[AuditEvent], None],
        live: LiveCounts,
        *,
        row_lock: str = "",
    ) -> None:
        self._cursor = cursor
        self._execute = cursor.execute
        self._chain = chain
        self._emit = emit
        self._lock = f"SELECT 1 FROM publisher WHERE id = ? {row_lock}" if row_lock else None  # noqa: S608 - a constant
        self._live = live.counts
        self.paused: list[str] = []
        """Publishers that this transaction paused."""

    def full(self, grant: Grant) -> int | None:
        """Return `None` when the publisher may get one more token, else when its first live one ends, Unix seconds.

        Where the grant says so, room is made instead: the token that would end first is revoked.
        """
        if not (cap := grant.max_live_tokens):
            return None
        publisher_id = grant.publisher_id
        if self._count(grant, cap) >= cap:
            jti, ends_at = self._execute(_FIRST_TO_END, (publisher_id, grant.issued_at)).fetchone()
            if not grant.revoke_oldest:
                return int(ends_at)
            tokens.revoke(
                self._cursor,
                self._chain,
                jti,
                at=grant.issued_at,
                reason=CAP_REASON,
                request_id=grant.request_id,
            )
        return None

    def has_room(self, grant: Grant, count: int) -> bool:
        """Tell whether so many grants like this one fit, with nothing refused and nothing revoked."""
        cap = grant.max_live_tokens
        return not cap or self._count(grant, cap) + count <= cap

    def _count(self, grant: Grant, cap: int) -> int:
        """Return how many live tokens a publisher has now; where it has `cap` or more, any such number."""
        publisher_id, at = grant.publisher_id, grant.issued_at
        known = self._live.get(publisher_id)
        if known is not None:
            live, as_of = known
            if at > as_of:
                live -= self._execute(_ENDED, (publisher_id, as_of, at)).fetchone()[0]
                self._live[publisher_id] = live, at
            if at >= as_of and live < cap:
                return live
        elif self._lock is not None:
            self._execute(self._lock, (publisher_id,)).fetchone()
        # Not counted yet, or as of later, or full.
        found = int(self._execute(_LIVE, (publisher_id, at, cap)).fetchone()[0])
        if found < cap:
            self._live[publisher_id] = found, at
        else:  # there may be more than were counted
            self._live.pop(publisher_id, None)
        return found

    def too_fast(self, grant: Grant) -> bool:
        """Count a grant of this hour; pause the publisher and return true when it is one too many."""
        if not (limit := grant.max_grants_per_hour):
            return False
        hour = grant.issued_at // HOUR_SECONDS
        grants = self._execute(_COUNT_HOUR, (grant.publisher_id, hour)).fetchone()[0]
        if grants <= limit:
            return False
        self._execute(_PAUSE, (grant.issued_at, ALARM_REASON, grant.publisher_id))
        self._execute(BUMP_TRUST)
        self._emit(
            AuditEvent(
                at=grant.issued_at,
                kind=EventKind.PUBLISHER_PAUSED.value,
                request_id=grant.request_id,
                publisher_id=grant.publisher_id,
                issuer_id=grant.issuer_id,
                resource=grant.resource,
                ci_subject=grant.ci_subject,
                reason=ALARM_REASON,
                data=event_data(max_grants_per_hour=limit),
            )
        )
        self.paused.append(grant.publisher_id)
        return True

    def minted(self, grant: Grant) -> None:
        """Follow a token that stays."""
        if (known := self._live.get(grant.publisher_id)) is not None:
            self._live[grant.publisher_id] = known[0] + 1, known[1]

    def forget(self, paused: int) -> None:
        """Believe nothing that was counted: rows were rolled back, and all but the first `paused` pauses with them."""
        self._live.clear()
        del self.paused[paused:]
