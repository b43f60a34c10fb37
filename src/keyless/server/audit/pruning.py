"""Taking old events out without breaking the chains: a signed anchor says where each one now begins (D15)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from keyless.jose.signing import SigningKey
from keyless.server.audit.statement import Anchor

if TYPE_CHECKING:  # the store imports this room
    from keyless.server.store.connection import Connection, Cursor

PRUNE_ROWS: Final = 500  # per transaction: an exchange that waits for it waits a few milliseconds

_NEXT_WRITER: Final = "SELECT writer FROM audit_event WHERE writer > ? ORDER BY writer LIMIT 1"
_OLDEST: Final = """
SELECT sequence, at, hash FROM audit_event WHERE writer = ? AND sequence > ? ORDER BY sequence LIMIT 5000
"""
_ANCHOR: Final = """
INSERT INTO audit_anchor (writer, sequence, at, statement) VALUES (?, ?, ?, ?)
ON CONFLICT (writer) DO UPDATE SET sequence = excluded.sequence, at = excluded.at, statement = excluded.statement
"""
_ANCHORS: Final = "SELECT writer, sequence FROM audit_anchor ORDER BY writer"
_FIRST: Final = "SELECT min(sequence) FROM audit_event WHERE writer = ?"
_DELETE: Final = "DELETE FROM audit_event WHERE writer = ? AND sequence <= ?"
_DELETE_CONTACTS: Final = "DELETE FROM audit_contact WHERE writer = ? AND sequence <= ?"
_OLD_CONTACTS: Final = """
DELETE FROM audit_contact WHERE (writer, sequence) IN
(SELECT writer, sequence FROM audit_contact WHERE at < ? ORDER BY at LIMIT ?)
"""


def find_anchors(connection: Connection, *, before: int, at: int) -> Iterator[tuple[Anchor, int]]:
    """Return for each writer with old events where its chain is to begin, and how many events go.

    Only the beginning of a chain goes: an event stays when one before it is young enough to stay.

    Args:
        connection: To read over.
        before: Unix seconds; younger events stay.
        at: Unix seconds; now.
    """
    writer = ""
    while (row := connection.execute(_NEXT_WRITER, (writer,)).fetchone()) is not None:
        writer = row[0]
        last: tuple[int, bytes] | None = None
        count = after = 0
        while page := connection.execute(_OLDEST, (writer, after)).fetchall():
            old = [item for item in page if item[1] < before]
            if len(old) < len(page):  # the first young one ends it
                old = page[: next(n for n, item in enumerate(page) if item[1] >= before)]
            if old:
                last, count = (old[-1][0], bytes(old[-1][2])), count + len(old)
            if len(old) < len(page):
                break
            after = page[-1][0]
        if last is not None:
            yield Anchor(writer, last[0], last[1], at), count


def write_anchor(cursor: Cursor, anchor: Anchor, key: SigningKey) -> None:
    """Keep a signed anchor, before anything that it stands for is deleted."""
    cursor.execute(_ANCHOR, (anchor.writer, anchor.sequence, anchor.at, anchor.sign(key)))


def delete_anchored(cursor: Cursor) -> int:
    """Delete up to `PRUNE_ROWS` events that anchors stand for, with their contacts; return how many went."""
    for writer, sequence in cursor.execute(_ANCHORS).fetchall():
        first = cursor.execute(_FIRST, (writer,)).fetchone()[0]
        if first is not None and first <= sequence:
            end = min(sequence, first + PRUNE_ROWS - 1)
            gone = cursor.execute(_DELETE, (writer, end)).rowcount
            cursor.execute(_DELETE_CONTACTS, (writer, end))
            return gone
    return 0


def delete_old_contacts(cursor: Cursor, *, before: int) -> int:
    """Delete up to `PRUNE_ROWS` network addresses and user agents older than a time; return how many went."""
    return cursor.execute(_OLD_CONTACTS, (before, PRUNE_ROWS)).rowcount
