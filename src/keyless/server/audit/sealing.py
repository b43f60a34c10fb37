"""Sealing the chains: what a checkpoint says is read here and written down with its signature (D15).

Most checkpoints hold only the writers that wrote since the last one; the chain of checkpoints holds the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyless.server.audit.chain import Position
from keyless.server.audit.statement import Checkpoint, statement_digest

if TYPE_CHECKING:  # the store imports this room
    from keyless.server.store.connection import Connection, Cursor

# Rows of transactions that took long come into sight after ones with a greater id, where several write at once.
OVERLAP_ROWS: Final = 20_000

_LAST: Final = "SELECT number, last_id, statement FROM checkpoint ORDER BY number DESC LIMIT 1"
_NEWEST: Final = "SELECT max(id) FROM audit_event"
_WROTE: Final = "SELECT writer, max(sequence) FROM audit_event WHERE id > ? GROUP BY writer"
_HASH: Final = "SELECT hash FROM audit_event WHERE writer = ? AND sequence = ?"
_NEXT_WRITER: Final = "SELECT writer FROM audit_event WHERE writer > ? ORDER BY writer LIMIT 1"
_HEAD: Final = "SELECT sequence, hash FROM audit_event WHERE writer = ? ORDER BY sequence DESC LIMIT 1"
_KEEP: Final = """
INSERT INTO checkpoint (number, at, last_id, statement) VALUES (?, ?, ?, ?) ON CONFLICT (number) DO NOTHING
"""
_AFTER: Final = "SELECT number, at, statement FROM checkpoint WHERE number > ? ORDER BY number LIMIT ?"
_FORGET: Final = "DELETE FROM checkpoint WHERE at < ? AND number < ?"


Kept = tuple[int, str]
"""Number and statement of a checkpoint that is kept outside the database."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Hold a checkpoint before it is signed, and the newest audit row it looked at."""

    checkpoint: Checkpoint
    last_id: int


def draft(
    connection: Connection, *, at: int, whole: bool = False, overlap_rows: int = 0, kept: Kept | None = None
) -> Draft | None:
    """Return what the chains are now, or `None` when there is no news.

    Args:
        connection: To read over.
        at: Unix seconds.
        whole: Hold every writer, news or not.
        overlap_rows: How far to look back behind the last checkpoint; see `OVERLAP_ROWS`.
        kept: The last checkpoint outside the database. Where the database does not know it any more - it was restored,
            or somebody took it out - the new one goes on from there, so that what is kept outside goes on, too.
    """
    number, last_id, previous = connection.execute(_LAST).fetchone() or (0, 0, "")
    newest = connection.execute(_NEWEST).fetchone()[0] or 0
    if kept is not None and kept[0] > number:
        (number, previous), last_id, whole = kept, 0, True
    if newest == last_id and not (whole and newest):
        return None
    whole = whole or newest < last_id  # rows are gone: what is left is sealed all the same, beside what was sealed
    heads = _all_heads(connection) if whole else _heads_since(connection, last_id - overlap_rows)
    named = statement_digest(previous) if previous else ""
    return Draft(Checkpoint(number + 1, at, named, whole, dict(heads)), newest)


def keep(cursor: Cursor, made: Draft, statement: str) -> bool:
    """Keep a signed checkpoint; false when another replica was faster."""
    row = (made.checkpoint.number, made.checkpoint.at, made.last_id, statement)
    return cursor.execute(_KEEP, row).rowcount == 1


def statements_after(connection: Connection, number: int, *, limit: int) -> list[tuple[int, int, str]]:
    """Return checkpoints behind a number in their order: number, time, statement."""
    return list(connection.execute(_AFTER, (number, limit)).fetchall())


def newest_statement(connection: Connection) -> str | None:
    """Return the last checkpoint, or `None` when nothing was sealed."""
    row = connection.execute(_LAST).fetchone()
    return None if row is None else str(row[2])


def forget_before(cursor: Cursor, at: int) -> None:
    """Delete checkpoints older than a time; the newest one always stays, for the next one names it."""
    newest = cursor.execute(_LAST).fetchone()
    if newest is not None:
        cursor.execute(_FORGET, (at, newest[0]))


def _heads_since(connection: Connection, last_id: int) -> Iterator[tuple[str, Position]]:
    for writer, sequence in connection.execute(_WROTE, (last_id,)).fetchall():
        if (row := connection.execute(_HASH, (writer, sequence)).fetchone()) is not None:
            yield writer, (sequence, bytes(row[0]))


def _all_heads(connection: Connection) -> Iterator[tuple[str, Position]]:
    writer = ""
    while (row := connection.execute(_NEXT_WRITER, (writer,)).fetchone()) is not None:
        writer = row[0]
        sequence, digest = connection.execute(_HEAD, (writer,)).fetchone()
        yield writer, (sequence, bytes(digest))
