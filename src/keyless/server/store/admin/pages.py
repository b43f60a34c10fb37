"""Pages of lists that follow namespace, type and name of a resource: by key, never by offset."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from sqlalchemy import ColumnElement, Connection, select

from keyless.resource import Resource
from keyless.server.store import tables

FIRST: Final = (0, "", "")
"""Before the first resource; ids start at 1."""


def conditions(
    connection: Connection, namespaces: Collection[str] | None, resource: Resource | None
) -> Iterator[tuple[ColumnElement[bool], ...]]:
    """Return what to look for, one query after the other: each follows the order of one index.

    Args:
        connection: To read over.
        namespaces: The namespaces that may be seen; all when `None`.
        resource: Only this one.
    """
    namespace, table = tables.namespace, tables.resource
    if resource is not None:
        if namespaces is None or resource.namespace in namespaces:
            yield (table.c.path == str(resource),)
        return
    if namespaces is None:
        yield ()
        return
    query = select(namespace.c.id).where(namespace.c.name.in_(sorted(namespaces))).order_by(namespace.c.id)
    for (number,) in connection.execute(query).all():
        yield (table.c.namespace_id == number,)
