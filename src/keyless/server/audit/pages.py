"""Which events a page of the audit shows: the newest first, found along an index whatever is asked for.

Each way to ask has an index that begins with it and goes on with the time. What else is asked is compared on the way,
and a page ends, full or not, after a bounded number of rows: one that looks for what is rare costs as much with ten
million events as with a few thousand, and offers to look further back.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyless.resource import HUB_TYPES, PACKAGE_TYPES, ResourceType, namespace_of
from keyless.server.audit.event import EventKind
from keyless.server.audit.reader import AuditFilter, AuditRecord, PageKey, read_by_id

if TYPE_CHECKING:  # the store imports this room
    from keyless.server.store.connection import Connection

SCANNED_ROWS: Final = 2_000  # of one index
MAX_RESOURCES: Final = 100  # of somebody's namespaces, each looked up by itself
MAX_NAMESPACES: Final = 20  # as above
_CHUNK_ROWS: Final = 250
_LAST: Final = "\U0010ffff"  # sorts behind every character of a name
_NEXT_RESOURCE: Final = """
SELECT resource FROM audit_event WHERE resource > ? AND resource < ? ORDER BY resource LIMIT 1
"""

_KEYS: Final = """
SELECT at, id, kind, resource, publisher_id, actor FROM audit_event WHERE {start} {bounds}
ORDER BY at DESC, id DESC LIMIT ?
"""

_Key = tuple[int, int, bool]
"""Time and id of an event; false: nothing that is wanted, but where looking ended."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, the newest first. `before` continues behind them; `None` when there is nothing older."""

    records: list[AuditRecord]
    before: PageKey | None


def read_page(
    connection: Connection,
    wanted: AuditFilter,
    *,
    namespaces: Collection[str] | None = None,
    before: PageKey | None = None,
    limit: int,
) -> Page:
    """Return the latest events that are wanted, after looking at no more than `SCANNED_ROWS` of each index.

    Args:
        connection: Any connection to the database.
        wanted: Which.
        namespaces: Only events of resources in these; all when `None`.
        before: The `before` of the page that this one follows.
        limit: How many at most.
    """
    seen = _Seen(wanted, namespaces)
    streams = [_stream(connection, seen, start, before, limit) for start in _starts(connection, seen)]
    keys: list[PageKey] = []
    end: PageKey | None = None
    for at, number, found in heapq.merge(*streams, reverse=True):
        if not found:
            end = at, number
            break
        if len(keys) == limit:
            end = keys[-1]
            break
        keys.append((at, number))
    return Page(read_by_id(connection, [number for _, number in keys]), end)


def read_events(
    connection: Connection,
    *,
    resource: str | None = None,
    limit: int = 50,
    wanted: AuditFilter | None = None,
    before: PageKey | None = None,
) -> list[AuditRecord]:
    """Return the latest events that are wanted, the newest last, however far back they are.

    Args:
        connection: Any connection to the database.
        resource: Canonical resource, or `None` for all; short for a filter that says no more.
        limit: How many.
        wanted: Which.
        before: The `key` of the oldest event seen so far; only older ones come.
    """
    filter_ = wanted or AuditFilter(resource=resource)
    found: list[AuditRecord] = []
    while len(found) < limit:
        page = read_page(connection, filter_, before=before, limit=limit - len(found))
        found += page.records
        if (before := page.before) is None:
            break
    return found[::-1]


_Start = tuple[str, tuple[Any, ...]]
"""The condition that an index begins with, and its value; an empty text for the index of time alone."""


class _Seen:
    """Tell which events are wanted and may be seen."""

    def __init__(self, wanted: AuditFilter, namespaces: Collection[str] | None) -> None:
        self.wanted = wanted
        self.kinds = wanted.all_kinds
        self.namespaces = namespaces

    def takes(self, kind: str, resource: str | None, publisher_id: str | None, actor: str | None) -> bool:
        wanted = self.wanted
        return (
            (self.kinds is None or kind in self.kinds)
            and wanted.resource in {None, resource}
            and wanted.publisher_id in {None, publisher_id}
            and wanted.actor in {None, actor}
            and (self.namespaces is None or (resource is not None and namespace_of(resource) in self.namespaces))
        )


def _starts(connection: Connection, seen: _Seen) -> Sequence[_Start]:
    wanted = seen.wanted
    if wanted.resource is not None:
        return [("resource = ? AND", (wanted.resource,))]
    if wanted.publisher_id is not None:
        return [("publisher_id = ? AND", (wanted.publisher_id,))]
    if wanted.actor is not None:
        return [("actor = ? AND", (wanted.actor,))]
    if seen.namespaces is not None and (resources := _resources_of(connection, seen.namespaces)) is not None:
        return [("resource = ? AND", (resource,)) for resource in resources]
    if seen.kinds is not None and EventKind.TOKEN_GRANTED.value not in seen.kinds:
        # The second condition is what the index of rare kinds is made by.
        return [("kind = ? AND kind <> 'token.granted' AND", (kind,)) for kind in sorted(seen.kinds)]
    return [("", ())]


def _stream(connection: Connection, seen: _Seen, start: _Start, before: PageKey | None, limit: int) -> Iterator[_Key]:
    """Yield the keys of wanted events along one index, the newest first."""
    text, values = start
    since, until = seen.wanted.since or 0, seen.wanted.until
    scanned, size = 0, min(limit + 1, _CHUNK_ROWS)
    while True:
        # Only what narrows the time is said, so that no planner has to guess what a condition is worth.
        bounds: list[tuple[str, tuple[int, ...]]] = [("at >= ?", (since,))]
        if until is not None:
            bounds.append(("at < ?", (until,)))
        if before is not None:
            bounds.append(("at <= ? AND (at, id) < (?, ?)", (before[0], *before)))
        query = _KEYS.format(start=text, bounds=" AND ".join(bound for bound, _ in bounds))
        numbers = [number for _, more in bounds for number in more]
        rows = connection.execute(query, (*values, *numbers, size)).fetchall()
        for at, number, *facts in rows:
            before = at, number
            if seen.takes(*facts):
                yield at, number, True
        scanned += len(rows)
        if len(rows) < size:
            return
        if scanned >= SCANNED_ROWS and before is not None:
            yield (*before, False)
            return
        size = _CHUNK_ROWS


def _resources_of(connection: Connection, namespaces: Collection[str]) -> list[str] | None:
    """Return what the audit names of these namespaces, one step along the index for each; `None`: too many of them."""
    if len(namespaces) > MAX_NAMESPACES:
        return None
    found: list[str] = []
    for namespace in sorted(namespaces):
        for first in _beginnings(namespace):
            resource = first
            while row := connection.execute(_NEXT_RESOURCE, (resource, first + _LAST)).fetchone():
                resource = row[0]
                if namespace_of(resource) == namespace:
                    found.append(resource)
                if len(found) > MAX_RESOURCES or namespace_of(resource) != namespace:
                    break
            if len(found) > MAX_RESOURCES:
                return None
        if namespace not in PACKAGE_TYPES:
            found.append(f"users/{namespace}")
    return found


def _beginnings(namespace: str) -> list[str]:
    """Return what the names of a namespace's resources begin with; a package registry's word is its namespace."""
    if namespace in PACKAGE_TYPES:
        return [f"{namespace}/"]
    return [f"{kind.plural}/{namespace}/" for kind in sorted(HUB_TYPES - {ResourceType.USER})]
