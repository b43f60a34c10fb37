"""Issued tokens for people: pages of them, and one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select, tuple_

from keyless.resource import namespace_of
from keyless.server.representations.token import TokenRecord
from keyless.server.store import tables

_COLUMNS: Final = tuple(
    tables.token.c[name]
    for name in (
        *("jti", "publisher_id", "resource", "scope", "audience", "ci_subject", "issued_at", "expires_at"),
        *("revoked_at", "revoked_reason"),
    )
)
SCANNED_ROWS: Final = 2_000
MAX_PUBLISHERS: Final = 100
NEWEST: Final = "w"  # behind every id, whose characters are 0-9 and a-v


def latest(connection: Connection, *, before: str | None, limit: int) -> list[TokenRecord]:
    """Return the latest tokens of all, whatever became of them; `before` is the last id of the page before."""
    table = tables.token
    query = select(*_COLUMNS).where(table.c.jti < (before or NEWEST)).order_by(table.c.jti.desc()).limit(limit)
    return [_record(row) for row in connection.execute(query).all()]


def live(
    connection: Connection,
    publishers: Collection[str],
    *,
    now: int,
    after: Sequence[int | str] | None,
    limit: int,
) -> list[TokenRecord]:
    """Return tokens of these publishers that are neither over nor revoked, by publisher and end.

    Args:
        connection: To read over.
        publishers: Their ids.
        now: Unix seconds.
        after: Publisher, end and id of the last token of the page before.
        limit: How many at most.
    """
    table = tables.token
    found: list[TokenRecord] = []
    for publisher_id in sorted(publishers):
        query = select(*_COLUMNS).where(
            table.c.publisher_id == publisher_id, table.c.revoked_at.is_(None), table.c.expires_at > now
        )
        if after is not None and publisher_id <= str(after[0]):
            if publisher_id < str(after[0]):
                continue
            query = query.where(
                table.c.expires_at >= after[1], tuple_(table.c.expires_at, table.c.jti) > tuple_(*after[1:])
            )
        query = query.order_by(table.c.expires_at, table.c.jti).limit(limit - len(found))
        found += [_record(row) for row in connection.execute(query).all()]
        if len(found) == limit:
            break
    return found


def ending(
    connection: Connection,
    *,
    namespaces: Collection[str] | None,
    now: int,
    after: tuple[int, str] | None,
    limit: int,
) -> list[TokenRecord]:
    """Return live tokens, those that end first leading.

    Of some namespaces, the tokens of each of their publishers are looked up by themselves; when there are more than
    `MAX_PUBLISHERS` of them, only the first two thousand tokens of all are looked at.

    Args:
        connection: To read over.
        namespaces: Only for resources of these; all when `None`.
        now: Unix seconds.
        after: End and id of the last token of the page before.
        limit: How many at most.
    """
    table = tables.token
    end, jti = after or (now, "")
    query = (
        select(*_COLUMNS)
        .where(table.c.expires_at >= max(end, now), tuple_(table.c.expires_at, table.c.jti) > tuple_(end, jti))
        .where(table.c.expires_at > now, table.c.revoked_at.is_(None))
        .order_by(table.c.expires_at, table.c.jti)
    )
    if namespaces is None:
        return [_record(row) for row in connection.execute(query.limit(limit)).all()]
    found: list[TokenRecord] = []
    publishers = _publishers_of(connection, namespaces)
    if publishers is None:
        found = [_record(row) for row in connection.execute(query.limit(SCANNED_ROWS)).all()]
        return [token for token in found if namespace_of(token.resource) in namespaces][:limit]
    for publisher_id in publishers:
        some = query.where(table.c.publisher_id == publisher_id).limit(limit)
        found += [_record(row) for row in connection.execute(some).all()]
    return sorted(found, key=lambda token: (token.expires_at, token.jti))[:limit]


def _publishers_of(connection: Connection, namespaces: Collection[str]) -> list[str] | None:
    """Return the ids of the publishers in these namespaces; `None` when there are too many of them."""
    space, resource, publisher = tables.namespace, tables.resource, tables.publisher
    found: list[str] = []
    ids = connection.execute(select(space.c.id).where(space.c.name.in_(sorted(namespaces)))).scalars().all()
    for number in ids:
        query = (
            select(publisher.c.id)
            .join(resource, resource.c.id == publisher.c.resource_id)
            .where(resource.c.namespace_id == number)
            .limit(MAX_PUBLISHERS + 1 - len(found))
        )
        found += connection.execute(query).scalars().all()
        if len(found) > MAX_PUBLISHERS:
            return None
    return found


def find(connection: Connection, jti: str) -> TokenRecord | None:
    """Return one token, or `None`."""
    row = connection.execute(select(*_COLUMNS).where(tables.token.c.jti == jti)).first()
    return None if row is None else _record(row)


def _record(row: Row[Any]) -> TokenRecord:
    return TokenRecord(**row._mapping)
