"""The revocation feed: what changed since a cursor, and what is true of it now (D5, T91, T106).

The rows are written by triggers (migration 0006) in the transaction of the change itself, whoever makes it, and in the
order in which transactions end. They live for two hours: what was withdrawn before touches no token any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keyless.server.store.connection import Connection, Cursor

MAX_ENTRIES: Final = 250
"""Of one page; the answer stays below 256 KiB."""
# An access token lives an hour at most, and nothing is minted for what is withdrawn; a verifier's clock may be behind.
KEPT_SECONDS: Final = 2 * 3600

_NEWEST: Final = "SELECT sequence, mark FROM feed ORDER BY sequence DESC LIMIT 1"
_KNOWN: Final = "SELECT 1 FROM feed WHERE sequence = ? AND mark = ?"
_CHANGES: Final = """
SELECT sequence, mark, kind, subject FROM feed
WHERE sequence > ? AND sequence <= ? AND (audience IS NULL OR audience = ?)
ORDER BY sequence LIMIT ?
"""
_TOKEN: Final = "SELECT 1 FROM token WHERE jti = ? AND revoked_at IS NULL"
_PUBLISHER: Final = """
SELECT r.path, p.operations, p.expires_at FROM publisher p JOIN resource r ON r.id = p.resource_id
WHERE p.id = ? AND p.enabled = 1
"""
_ISSUER: Final = "SELECT 1 FROM issuer WHERE url = ? AND enabled = 1"
_RESOURCE: Final = "SELECT state FROM resource WHERE path = ?"
_NAMESPACE: Final = "SELECT state FROM namespace WHERE name = ?"
# Retired longer ago than its last token can live, or distrusted, which is retired at the beginning of time.
_KEY: Final = "SELECT 1 FROM signing_key WHERE kid = ? AND (retired_at IS NULL OR retired_at > ?)"
_SERVICE: Final = "SELECT 1 FROM meta WHERE key = ? AND value = 0"
# A resource server learns of what its own tokens can be for (T106): names of others' repositories are not its business.
_RESOURCE_IS_OURS: Final = """
SELECT 1 FROM resource r JOIN publisher p ON p.resource_id = r.id JOIN resource_server s ON s.id = p.resource_server_id
WHERE r.path = ? AND s.audience = ? LIMIT 1
"""
_NAMESPACE_IS_OURS: Final = """
SELECT 1 FROM namespace n JOIN resource r ON r.namespace_id = n.id JOIN publisher p ON p.resource_id = r.id
JOIN resource_server s ON s.id = p.resource_server_id
WHERE n.name = ? AND s.audience = ? LIMIT 1
"""
_STAMP: Final = "UPDATE feed SET at = ? WHERE at IS NULL"
# The newest row stays, whatever its age: it is what cursors name.
_PURGE: Final = "DELETE FROM feed WHERE at < ? AND sequence < (SELECT max(sequence) FROM feed)"


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """Say what is true of one subject now.

    `kind` is `token` (by `jti`), `publisher` (by id), `issuer` (by URL), `resource` (canonical), `namespace`, `key` (a
    signing key of ours, by its `kid`) or `everything` (the switch that stops all).
    """

    kind: str
    subject: str
    live: bool
    resource: str | None = None
    operations: str | None = None
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Hold one page. `snapshot`: it begins anew, and what the reader knew before counts no more. `more`: ask again."""

    entries: tuple[FeedEntry, ...]
    cursor: str
    snapshot: bool
    more: bool


def read_feed(connection: Connection, audience: str, cursor: str | None, now: int) -> FeedPage:
    """Return what changed since a cursor; all that is kept, when the cursor is not one of this database's.

    Args:
        connection: In autocommit mode: the state of a subject may be newer than the row that names it.
        audience: The resource server that asks.
        cursor: From an earlier page, or `None`.
        now: Unix seconds.
    """
    newest = connection.execute(_NEWEST).fetchone() or (0, "")
    start = _position(connection, cursor)
    query = (start or 0, newest[0], audience, MAX_ENTRIES + 1)
    rows = connection.execute(_CHANGES, query).fetchall()
    more = len(rows) > MAX_ENTRIES
    rows = rows[:MAX_ENTRIES]
    subjects = dict.fromkeys((row[2], row[3]) for row in rows)  # the last state is read once
    entries = tuple(
        entry for kind, subject in subjects if (entry := _state(connection, kind, subject, audience, now)) is not None
    )
    end = rows[-1][:2] if more else newest
    return FeedPage(entries, f"{end[0]}.{end[1]}", start is None, more)


def purge_feed(cursor: Cursor, now: int) -> int:
    """Date the new rows, and delete those that touch no token any more; return how many."""
    cursor.execute(_STAMP, (now,))
    cursor.execute(_PURGE, (now - KEPT_SECONDS,))
    return cursor.rowcount


def _position(connection: Connection, cursor: str | None) -> int | None:
    number, _, mark = (cursor or "").partition(".")
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        return None
    if number == "0" and not mark:
        # The cursor of a feed that had no rows; it is ours as long as the first ones are still kept.
        first = connection.execute("SELECT sequence FROM feed ORDER BY sequence LIMIT 1").fetchone()
        return 0 if first is None or first[0] == 1 else None
    return int(number) if connection.execute(_KNOWN, (int(number), mark)).fetchone() else None


def _state(connection: Connection, kind: str, subject: str, audience: str, now: int) -> FeedEntry | None:
    match kind:
        case "publisher":
            row = connection.execute(_PUBLISHER, (subject,)).fetchone()
            if row is None or (row[2] is not None and row[2] <= now):
                return FeedEntry(kind, subject, live=False)
            return FeedEntry(kind, subject, live=True, resource=row[0], operations=row[1], ends_at=row[2])
        case "resource" | "namespace":
            state, ours = (_RESOURCE, _RESOURCE_IS_OURS) if kind == "resource" else (_NAMESPACE, _NAMESPACE_IS_OURS)
            row = connection.execute(state, (subject,)).fetchone()
            if row is not None and not connection.execute(ours, (subject, audience)).fetchone():
                return None
            return FeedEntry(kind, subject, live=row is not None and row[0] == "active")
        case "key":
            live = connection.execute(_KEY, (subject, now - KEPT_SECONDS)).fetchone() is not None
            return FeedEntry(kind, subject, live=live)
        case _:
            live = connection.execute(_BY_SUBJECT[kind], (subject,)).fetchone() is not None
            return FeedEntry(kind, subject, live=live)


_BY_SUBJECT: Final[dict[str, str]] = {"token": _TOKEN, "issuer": _ISSUER, "service": _SERVICE}
