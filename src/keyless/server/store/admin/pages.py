"""Pages of lists that follow namespace, type and name of a resource: by key, never by offset (D4).

Each range is one that the unique index of resources can start in and read along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, select, tuple_

from keyless.resource import Resource
from keyless.server.store import tables

KEY: Final = (tables.resource.c.namespace_id, tables.resource.c.type, tables.resource.c.name)
_FIRST: Final = (0, "", "")  # before the first resource; ids start at 1


def ranges(
    connection: Connection,
    namespaces: Collection[str] | None,
    resource: Resource | None,
    after: Sequence[int | str] | None,
) -> Iterator[tuple[ColumnElement[bool], ...]]:
    """Return what to look for, one query after the other: resources from a key on, that of the key included.

    Args:
        connection: To read over.
        namespaces: The namespaces that may be seen; all when `None`.
        resource: Only this one.
        after: Namespace, type and name of the key, or `None` to begin.
    """
    table, namespace = tables.resource, tables.namespace
    if resource is not None:
        if namespaces is None or resource.namespace in namespaces:
            yield (table.c.path == str(resource),)
        return
    if namespaces is None:
        yield (tuple_(*KEY) >= tuple_(*(after or _FIRST)),)
        return
    query = select(namespace.c.id).where(namespace.c.name.in_(sorted(namespaces))).order_by(namespace.c.id)
    if after is not None:
        query = query.where(namespace.c.id >= after[0])
    for (number,) in connection.execute(query).all():
        begin = after[1:] if after is not None and number == after[0] else _FIRST[1:]
        yield table.c.namespace_id == number, tuple_(*KEY[1:]) >= tuple_(*begin)
