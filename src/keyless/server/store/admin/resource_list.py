"""Resources and namespaces for people: pages of them, by key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, select, tuple_

from keyless.resource import HUB_TYPES, PACKAGE_TYPES, Resource, ResourceType, parse_resource
from keyless.server.store import tables
from keyless.server.store.admin import pages
from keyless.server.store.admin.resources import ResourceState

ResourceKey = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """What is true of a namespace: `kind` is `user`, `org` or `unknown`, `state` is `active` or `locked`."""

    name: str
    kind: str
    state: str


def page(
    connection: Connection,
    *,
    namespaces: Collection[str] | None,
    after: Sequence[int | str] | None,
    limit: int,
) -> list[tuple[ResourceKey, ResourceState]]:
    """Return a page of resources by namespace, type and name, each with its key.

    Args:
        connection: To read over.
        namespaces: Only of these; all when `None`.
        after: The key of the last resource of the page before.
        limit: How many at most.
    """
    found: list[tuple[ResourceKey, ResourceState]] = []
    table, space = tables.resource, tables.namespace
    for range_ in pages.ranges(connection, namespaces, None, after):
        query = (
            select(*pages.KEY, table.c.path, table.c.state, table.c.publishers_only, space.c.state.label("space"))
            .join(space, space.c.id == table.c.namespace_id)
            .where(*range_)
            .order_by(*pages.KEY)
            .limit(limit - len(found))
        )
        if after is not None:
            query = query.where(tuple_(*pages.KEY) > tuple_(*after))
        for row in connection.execute(query).all():
            found.append(((row.namespace_id, row.type, row.name), _state(row)))
        if len(found) == limit:
            break
    return found


def by_name(
    connection: Connection, *, namespaces: Collection[str] | None, prefix: str, after: str | None, limit: int
) -> list[ResourceState]:
    """Return a page of resources by canonical name.

    Args:
        connection: To read over.
        namespaces: Only of these; all when `None`.
        prefix: How the name begins.
        after: The last name of the page before.
        limit: How many at most.
    """
    path, space = tables.resource.c.path, tables.namespace.c.name
    found: list[ResourceState] = []
    ranges = [("", "")] if namespaces is None else sorted(chain.from_iterable(map(_ranges, namespaces)))
    # The index of names is read from where each namespace begins in it, one after the other.
    for start, namespace in ranges:
        query = _STATE.where(path > (after or "")).order_by(path).limit(limit - len(found))
        for beginning in filter(None, (start, prefix)):
            query = query.where(path >= beginning, path < beginning + _LAST)
        if namespace:
            query = query.where(space == namespace)  # whatever the order of the database's letters is
        found += [_state(row) for row in connection.execute(query).all()]
        if len(found) == limit:
            break
    return found


def _ranges(namespace: str) -> list[tuple[str, str]]:
    """Return what the canonical names of a namespace's resources begin with, and the namespace."""
    if namespace in PACKAGE_TYPES:
        return [(f"{namespace}/", namespace)]
    beginnings = [f"{kind.plural}/{namespace}/" for kind in HUB_TYPES - {ResourceType.USER}]
    return [(beginning, namespace) for beginning in (*beginnings, f"users/{namespace}")]


def find(connection: Connection, resource: Resource) -> ResourceState | None:
    """Return one resource, or `None` when nothing of it is known here."""
    row = connection.execute(_STATE.where(tables.resource.c.path == str(resource))).first()
    return None if row is None else _state(row)


def namespace_page(
    connection: Connection, *, namespaces: Collection[str] | None, after: str | None, limit: int
) -> list[NamespaceState]:
    """Return a page of namespaces by name, those behind `after`; only of `namespaces` unless that is `None`."""
    table = tables.namespace
    query = select(table.c.name, table.c.kind, table.c.state).where(table.c.name > (after or ""))
    if namespaces is not None:
        query = query.where(table.c.name.in_(sorted(namespaces)))
    rows = connection.execute(query.order_by(table.c.name).limit(limit)).all()
    return [NamespaceState(row.name, row.kind, row.state) for row in rows]


def namespace(connection: Connection, name: str) -> NamespaceState | None:
    """Return one namespace, or `None` when nothing of it is known here."""
    table = tables.namespace
    row = connection.execute(select(table.c.name, table.c.kind, table.c.state).where(table.c.name == name)).first()
    return None if row is None else NamespaceState(row.name, row.kind, row.state)


_LAST: Final = "\U0010ffff"  # sorts behind every character of a name
_STATE: Final = select(
    tables.resource.c.path,
    tables.resource.c.state,
    tables.resource.c.publishers_only,
    tables.namespace.c.state.label("space"),
).join(tables.namespace, tables.namespace.c.id == tables.resource.c.namespace_id)


def _state(row: Any) -> ResourceState:
    return ResourceState(parse_resource(row.path), row.state, row.space, bool(row.publishers_only))
