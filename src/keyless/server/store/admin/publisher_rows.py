"""Reading Trusted Publishers, whatever their state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select, tuple_

from keyless.errors import ConfigurationError
from keyless.oidc.issuer import ReplayMode
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.server.store import tables
from keyless.server.store.admin import pages
from keyless.server.store.records import operations_from_text
from keyless.trust.publisher import Condition, Operator, Pin, PinSource, Publisher

_TOGETHER: Final = 25  # more at once, and a planner may read a whole table instead
PageKey = tuple[int | str, ...]


def find(connection: Connection, *, resource: Resource | None = None) -> list[Publisher]:
    """Return the publishers of a resource or of all, oldest first, whatever their state."""
    query = _QUERY.order_by(tables.publisher.c.created_at, tables.publisher.c.id)
    if resource is not None:
        query = query.where(tables.resource.c.path == str(resource))
    return _make_all(connection, connection.execute(query).all())


def page(
    connection: Connection,
    *,
    namespaces: Collection[str] | None,
    resource: Resource | None = None,
    after: Sequence[int | str] | None = None,
    limit: int,
) -> list[tuple[PageKey, Publisher]]:
    """Return a page of publishers by namespace, type and name of their resource, each with its key.

    Args:
        connection: To read over.
        namespaces: Only of these; all when `None`.
        resource: Only of this one.
        after: The key of the last publisher of the page before.
        limit: How many at most.
    """
    found: list[tuple[PageKey, Publisher]] = []
    table, publisher = tables.resource, tables.publisher
    for range_ in pages.ranges(connection, namespaces, resource, None if after is None else after[:3]):
        # The resources come first, along their index, and by themselves: in one query with the publishers a planner may
        # read all of either instead.
        of_it = select(publisher.c.id).where(publisher.c.resource_id == table.c.id).exists()
        some = select(table.c.id).where(*range_, of_it).order_by(*pages.KEY)
        # One more than is asked for: that of the key may have nothing left.
        ids = connection.execute(some.limit(limit - len(found) + 1)).scalars().all()
        query = _QUERY.where(publisher.c.resource_id.in_(ids)).add_columns(table.c.namespace_id)
        if after is not None:
            query = query.where(tuple_(*pages.KEY, publisher.c.id) > tuple_(*after))
        query = query.order_by(*pages.KEY, publisher.c.id).limit(limit - len(found))
        rows = connection.execute(query).all()
        for row, made in zip(rows, _make_all(connection, rows), strict=True):
            found.append(((row.namespace_id, made.resource.type.value, made.resource.name, made.id), made))
        if len(found) == limit:
            break
    return found


def get(connection: Connection, publisher_id: str) -> Publisher:
    """Return one publisher.

    Raises:
        ConfigurationError: There is none of that id.
    """
    row = connection.execute(_QUERY.where(tables.publisher.c.id == publisher_id)).first()
    if row is None:
        raise ConfigurationError(f"there is no publisher {publisher_id!r}", hint="See: keyless trust list")
    return _make_all(connection, [row])[0]


_QUERY: Final[Select[Any]] = (
    select(
        *tables.publisher.c,
        tables.resource.c.path,
        tables.issuer.c.url,
        tables.issuer.c.kind,
        tables.resource_server.c.audience,
        tables.resource_server.c.token_prefix,
        tables.resource_server.c.user_token_prefix,
    )
    .join(tables.resource, tables.resource.c.id == tables.publisher.c.resource_id)
    .join(tables.issuer, tables.issuer.c.id == tables.publisher.c.issuer_id)
    .join(tables.resource_server, tables.resource_server.c.id == tables.publisher.c.resource_server_id)
)


def _make_all(connection: Connection, rows: Sequence[Row[Any]]) -> list[Publisher]:
    """Make publishers of rows; what they demand is read for some of them at once."""
    made: list[Publisher] = []
    condition, pin = tables.condition, tables.pin
    for start in range(0, len(rows), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        ids = [row.id for row in some]
        conditions: dict[str, dict[tuple[str, str], list[str]]] = {}
        query = (
            select(condition).where(condition.c.publisher_id.in_(ids)).order_by(condition.c.claim, condition.c.value)
        )
        for item in connection.execute(query):
            grouped = conditions.setdefault(item.publisher_id, {})
            grouped.setdefault((item.claim, item.operator), []).append(item.value)
        pins: dict[str, list[Pin]] = {}
        for item in connection.execute(select(pin).where(pin.c.publisher_id.in_(ids)).order_by(pin.c.claim)):
            found = Pin(item.claim, item.value, PinSource(item.source), item.pinned_at, item.lapses_at)
            pins.setdefault(item.publisher_id, []).append(found)
        made += [_make(row, conditions.get(row.id, {}), pins.get(row.id, ())) for row in some]
    return made


def _make(row: Row[Any], conditions: Mapping[tuple[str, str], Sequence[str]], pins: Sequence[Pin]) -> Publisher:
    resource = parse_resource(row.path)
    return Publisher(
        id=row.id,
        version=row.version,
        resource=resource,
        issuer_id=row.issuer_id,
        issuer_url=row.url,
        issuer_kind=row.kind,
        operations=operations_from_text(row.operations),
        conditions=tuple(Condition(claim, Operator(op), tuple(values)) for (claim, op), values in conditions.items()),
        pins=tuple(pins),
        audience=row.audience,
        token_prefix=row.user_token_prefix if resource.type is ResourceType.USER else row.token_prefix,
        enabled=bool(row.enabled),
        ttl_seconds=row.ttl_seconds,
        expires_at=row.expires_at,
        replay=None if row.replay is None else ReplayMode(row.replay),
        created_by=row.created_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        pending_until=row.pending_until,
        max_live_tokens=row.max_live_tokens,
        max_grants_per_hour=row.max_grants_per_hour,
        max_run_attempt=row.max_run_attempt,
        paused_at=row.paused_at,
        paused_reason=row.paused_reason,
    )
