"""What happens to trust without a person: names that come into being, publishers that nobody needs (T92, T93)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from keyless.resource import Resource
from keyless.server.audit.chain import INSERT_EVENT, Chain
from keyless.server.audit.event import AuditEvent
from keyless.server.store import limits, pending
from keyless.server.store.audit_keeping import Writing
from keyless.server.store.connection import Connection, Cursor

_STATE: Final = """
SELECT r.publishers_only, CASE WHEN r.state = 'locked' OR n.state = 'locked' THEN 1 ELSE 0 END
FROM resource r JOIN namespace n ON n.id = r.namespace_id WHERE r.path = ?
"""
_LOCKED: Final = "SELECT value FROM meta WHERE key = 'locked'"


class TrustUpkeep:
    """Do what time or a hub brings about. Part of a `Store`, and as thread-safe; its arguments are the store's."""

    def __init__(
        self,
        chain: Chain,
        clock: Callable[[], float],
        *,
        aside: Callable[[], AbstractContextManager[Connection]],
        reading: Callable[[], AbstractContextManager[Connection]],
        writing: Writing,
    ) -> None:
        self._chain = chain
        self._clock = clock
        self._aside = aside
        self._reading = reading
        self._writing = writing

    def state(self, resource: Resource) -> tuple[bool, bool]:
        """Tell whether a resource is for publishers only (T101), and whether it is locked."""
        with self._reading() as connection:
            row = connection.execute(_STATE, (str(resource),)).fetchone()
            locked = bool(connection.execute(_LOCKED).fetchone()[0])
        return (False, locked) if row is None else (bool(row[0]), locked or bool(row[1]))

    def note_existence(self, resource: Resource, *, actor: str = "hub", audience: str | None = None) -> bool:
        """Note that a resource came into being; who waited for it is removed. False when nobody did.

        Args:
            resource: Which one.
            actor: Who the audit names.
            audience: Of the resource server that says so: it speaks of its own resources only.
        """
        path = str(resource)
        with self._reading() as connection:
            if not pending.is_awaited(connection, path, audience=audience):
                return False
        with self._writing() as cursor:
            at = int(self._clock())
            return pending.resource_exists(cursor, path, at=at, emit=self._emitter(cursor), actor=actor)

    def remove_lapsed(self) -> int:
        """Remove publishers that waited too long for their resource; return how many went."""
        at = int(self._clock())
        with self._reading() as connection:
            if not pending.any_lapsed(connection, at=at):
                return 0
        with self._writing() as cursor:
            return pending.remove_lapsed(cursor, at=at, emit=self._emitter(cursor))

    def pause_unused(self, *, before: int) -> list[str]:
        """Pause publishers that nobody used, resumed or added since a time; return their ids."""
        with self._aside() as connection:
            ids = limits.find_unused(connection, before=before)
        if not ids:
            return []
        with self._writing() as cursor:
            return limits.pause_unused(cursor, ids, before=before, at=int(self._clock()), emit=self._emitter(cursor))

    def _emitter(self, cursor: Cursor) -> Callable[[AuditEvent], object]:
        return lambda event: cursor.execute(INSERT_EVENT, self._chain.link(event))
