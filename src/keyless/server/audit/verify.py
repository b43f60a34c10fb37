"""Checking the audit: nothing changed, nothing missing, nothing twice, and all of it as it was sealed (D15).

The chains alone show a row that was changed or taken out. What they cannot show - a chain cut off at its end, rewritten
from some event on, or gone altogether - the checkpoints show, which whoever can change the database cannot sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from keyless.errors import TokenError
from keyless.jose.jwk import KeySet
from keyless.server.audit.chain import COLUMNS, GENESIS, Position
from keyless.server.audit.event import AuditEvent, event_hash
from keyless.server.audit.statement import (
    Checkpoint,
    read_anchor,
    read_checkpoint,
    read_unverified_anchor,
    statement_digest,
)

if TYPE_CHECKING:  # the store imports this room
    from keyless.server.store.connection import Connection

MAX_PROBLEMS: Final = 100  # a broken database has as many as it has rows
IN_DATABASE: Final = "the database"

_PAGE_ROWS: Final = 5_000
# Along the index and a page at a time: neither engine has to hold or sort the whole audit.
_ROWS: Final = f"""
SELECT {COLUMNS} FROM audit_event WHERE (writer, sequence) > (?, ?) ORDER BY writer, sequence LIMIT {_PAGE_ROWS}
"""  # noqa: S608 - constants
_ANCHORS: Final = "SELECT writer, statement FROM audit_anchor ORDER BY writer"
_STATEMENTS: Final = "SELECT number, statement FROM checkpoint WHERE number > ? ORDER BY number LIMIT 500"
_HASH: Final = "SELECT hash FROM audit_event WHERE writer = ? AND sequence = ?"
_END: Final = "SELECT max(sequence) FROM audit_event WHERE writer = ?"


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Say what was found: how many events of how many writers and checkpoints, and what is wrong with them.

    `notes` say what could not be checked.
    """

    writers: int
    events: int
    problems: tuple[str, ...]
    checkpoints: int = 0
    notes: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class _Findings:
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


def verify_chain(
    connection: Connection, *, keys: KeySet | None = None, kept: Iterable[tuple[str, str]] = ()
) -> ChainReport:
    """Follow every chain from its first event, recompute each hash, and hold the chains against the checkpoints.

    Args:
        connection: To read over.
        keys: Check the statements; `None` when nobody has them, then nothing is sealed.
        kept: Checkpoints that were kept outside the database, in their order: where each stands, and its statement.
    """
    found = _Findings()
    anchors = _anchors(connection, keys, found)
    writers, events = _follow(connection, anchors, found)
    checkpoints = 0 if keys is None else _Seals(connection, keys, anchors, found).check(kept)
    return ChainReport(writers, events, tuple(found.problems), checkpoints, tuple(found.notes))


def _follow(connection: Connection, anchors: dict[str, Position], found: _Findings) -> tuple[int, int]:
    writers = events = 0
    current: str | None = None
    pruned, expected_sequence, expected_previous = 0, 1, GENESIS
    for row in _rows(connection):
        writer, sequence, previous, digest, *fields = row
        if writer != current:
            current = writer
            writers += 1
            pruned, expected_previous = anchors.get(writer, (0, GENESIS))
            expected_sequence = pruned + 1
        if sequence <= pruned:  # on its way out: a prune that was interrupted
            continue
        events += 1
        if sequence != expected_sequence:
            found.add(f"{writer}: event {expected_sequence} is missing, {sequence} follows")
        elif previous != expected_previous:
            found.add(f"{writer}: event {sequence} does not follow from the one before it")
        if digest != event_hash(previous, writer, sequence, AuditEvent(*fields)):
            found.add(f"{writer}: event {sequence} was changed after it was written")
        expected_sequence, expected_previous = sequence + 1, digest
    return writers, events


def _rows(connection: Connection) -> Iterator[tuple[Any, ...]]:
    after: tuple[str, int] = ("", 0)
    while page := connection.execute(_ROWS, after).fetchall():
        yield from page
        after = (page[-1][0], page[-1][1])


def _anchors(connection: Connection, keys: KeySet | None, found: _Findings) -> dict[str, Position]:
    """Return where each pruned chain begins, as it was signed."""
    rows = connection.execute(_ANCHORS).fetchall()
    if rows and keys is None:
        found.notes.append(f"{len(rows)} anchors of pruned chains cannot be checked without the checkpoint key")
    anchors: dict[str, Position] = {}
    for writer, statement in rows:
        try:
            anchor = read_unverified_anchor(statement) if keys is None else read_anchor(statement, keys)
        except TokenError as error:
            found.add(f"{writer}: the anchor of its pruned events is not good: {error}")
            continue
        if anchor.writer != writer:
            found.add(f"{writer}: the anchor of its pruned events is that of another writer")
        else:
            anchors[writer] = (anchor.sequence, anchor.digest)
    return anchors


class _Seals:
    """Hold what was sealed against what is there."""

    def __init__(self, connection: Connection, keys: KeySet, anchors: dict[str, Position], found: _Findings) -> None:
        self._connection = connection
        self._keys = keys
        self._anchors = anchors
        self._found = found
        self._in_database: dict[int, str] = {}
        self._broken: set[str] = set()
        self._count = 0

    def check(self, kept: Iterable[tuple[str, str]]) -> int:
        """Check the checkpoints of the database, then those that were kept outside; return how many there were."""
        last: Checkpoint | None = None
        last_digest = ""
        for number, statement in self._stored():
            digest = statement_digest(statement)
            self._in_database[number] = digest
            last = self._read(f"checkpoint {number} of {IN_DATABASE}", statement, last, last_digest)
            last_digest = digest
        last, last_digest = None, ""
        seen: set[str] = set()
        for place, statement in kept:
            digest = statement_digest(statement)
            if digest in seen:  # the workers of one service share a file, and each writes down what it sees
                continue
            seen.add(digest)
            last = self._read(place, statement, last, last_digest)
            last_digest = digest
        return self._count

    def _stored(self) -> Iterator[tuple[int, str]]:
        number = 0
        while page := self._connection.execute(_STATEMENTS, (number,)).fetchall():
            yield from page
            number = page[-1][0]

    def _read(self, place: str, statement: str, last: Checkpoint | None, last_digest: str) -> Checkpoint | None:
        try:
            checkpoint = read_checkpoint(statement, self._keys)
        except TokenError as error:
            self._found.add(f"{place} is not good: {error}")
            return None
        if last is not None and checkpoint.number != last.number + 1:
            self._found.add(f"{place}: number {checkpoint.number} follows {last.number}")
        elif last is not None and checkpoint.previous != last_digest:
            self._found.add(f"{place} does not follow from the one before it")
        known = self._in_database.get(checkpoint.number)
        is_new = known is None or known != statement_digest(statement) or place.endswith(IN_DATABASE)
        if not is_new:
            return checkpoint
        if known is not None and not place.endswith(IN_DATABASE):
            self._found.add(f"{place}: {IN_DATABASE} has another checkpoint {checkpoint.number}")
        self._count += 1
        for writer, head in checkpoint.heads.items():
            if writer not in self._broken:
                self._compare(checkpoint.number, writer, head)
        return checkpoint

    def _compare(self, number: int, writer: str, head: Position) -> None:
        sequence, sealed = head
        pruned, anchored = self._anchors.get(writer, (0, GENESIS))
        if sequence < pruned:
            return
        row = (anchored,) if sequence == pruned else self._connection.execute(_HASH, (writer, sequence)).fetchone()
        if row is not None and bytes(row[0]) == sealed:
            return
        self._broken.add(writer)
        if row is not None:
            problem = f"event {sequence} is another one than checkpoint {number} sealed: the chain was rewritten"
        elif (end := self._connection.execute(_END, (writer,)).fetchone()[0]) is None:
            problem = f"the whole chain is missing; checkpoint {number} sealed its event {sequence}"
        elif end < sequence:
            problem = f"the chain ends at event {end}; checkpoint {number} sealed its event {sequence}: it was cut"
        else:
            problem = f"event {sequence}, which checkpoint {number} sealed, is missing"
        self._found.add(f"{writer}: {problem}")
