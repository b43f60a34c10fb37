"""Keeping the audit: sealing it, pruning it, forgetting what is personal in it (D15)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from keyless.jose.signing import SigningKey
from keyless.server.audit import pruning, sealing
from keyless.server.audit.chain import INSERT_EVENT, Chain
from keyless.server.audit.event import AuditEvent, EventKind, event_data
from keyless.server.audit.statement import Checkpoint
from keyless.server.store.connection import Connection, Cursor


class Writing(Protocol):
    """Opens a transaction that writes; see `Store`."""

    def __call__(self, *, alone: bool = True) -> AbstractContextManager[Cursor]:
        """Open it; `alone`, nothing that it reads is changed by others before it ends."""


class AuditKeeping:
    """Do what somebody does with the whole audit now and then. Part of a `Store`, and as thread-safe.

    Args:
        chain: The store's.
        clock: Unix seconds.
        aside: Opens a connection for what takes long.
        reading: Lends the connection for short reads.
        writing: Opens a transaction that writes.
        overlap_rows: See `keyless.server.audit.sealing`.
    """

    def __init__(
        self,
        chain: Chain,
        clock: Callable[[], float],
        *,
        aside: Callable[[], AbstractContextManager[Connection]],
        reading: Callable[[], AbstractContextManager[Connection]],
        writing: Writing,
        overlap_rows: int,
    ) -> None:
        self._chain = chain
        self._clock = clock
        self._aside = aside
        self._reading = reading
        self._writing = writing
        self._overlap_rows = overlap_rows

    def seal(self, key: SigningKey, *, whole: bool = False, kept: sealing.Kept | None = None) -> Checkpoint | None:
        """Sign what the chains are now; `None` when there was no news, or another replica was faster.

        Args:
            key: Signs; its private half is never in the database.
            whole: Name every writer, not only those with news.
            kept: The last checkpoint outside the database; see `keyless.server.audit.sealing`.
        """
        at = int(self._clock())
        with self._aside() as connection:
            made = sealing.draft(connection, at=at, whole=whole, overlap_rows=self._overlap_rows, kept=kept)
        if made is None:
            return None
        statement = made.checkpoint.sign(key)
        with self._writing(alone=False) as cursor:
            return made.checkpoint if sealing.keep(cursor, made, statement) else None

    def checkpoints(self, *, after: int, limit: int = 100) -> list[tuple[int, int, str]]:
        """Return checkpoints behind a number, in their order: number, Unix seconds, statement."""
        with self._reading() as connection:
            return sealing.statements_after(connection, after, limit=limit)

    def newest_checkpoint(self) -> str | None:
        """Return the last checkpoint as it was signed, or `None` when nothing was sealed."""
        with self._reading() as connection:
            return sealing.newest_statement(connection)

    def prune(self, key: SigningKey, *, before: int, actor: str) -> int:
        """Delete events older than a time behind signed anchors; return how many went.

        Args:
            key: Signs the anchors.
            before: Unix seconds.
            actor: Who the audit names.
        """
        now = int(self._clock())
        with self._aside() as connection:
            found = list(pruning.find_anchors(connection, before=before, at=now))
        if found:
            with self._writing() as cursor:
                for anchor, _count in found:
                    pruning.write_anchor(cursor, anchor, key)
                data = event_data(before=before, events=sum(count for _anchor, count in found))
                event = AuditEvent(at=now, kind=EventKind.AUDIT_PRUNED.value, actor=actor, data=data)
                cursor.execute(INSERT_EVENT, self._chain.link(event))
        return self._in_steps(pruning.delete_anchored)

    def forget_contacts(self, *, before: int) -> int:
        """Delete network addresses and user agents older than a time; return how many went."""
        return self._in_steps(lambda cursor: pruning.delete_old_contacts(cursor, before=before))

    def forget_checkpoints(self, *, before: int) -> None:
        """Delete checkpoints older than a time: those outside the database are what counts."""
        with self._writing(alone=False) as cursor:
            sealing.forget_before(cursor, before)

    def _in_steps(self, step: Callable[[Cursor], int]) -> int:
        """Repeat a step in transactions of its own until it does nothing more; return what all of them did."""
        done = 0
        while True:
            with self._writing(alone=False) as cursor:
                count = step(cursor)
            if not count:
                return done
            done += count
            time.sleep(0)  # let a waiting exchange take the lock
