"""Trusted Publishers: adding, listing, switching, removing (D10, D16)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, insert, select, tuple_, update

from keyless.errors import ConfigurationError
from keyless.issuers import profile_for
from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.server.audit.event import EventKind
from keyless.server.store import tables
from keyless.server.store.admin import pages
from keyless.server.store.admin.change import Change
from keyless.server.store.admin.rules import check_publisher, check_text, make_condition
from keyless.server.store.ids import new_publisher_id
from keyless.server.store.records import operations_from_text
from keyless.server.store.resource_servers import HUB, kind_of_type
from keyless.trust.publisher import Condition, Operation, Operator, Pin, PinSource, Publisher

PIN_FIRST_USE_SECONDS: Final = 7 * 24 * 3600  # D10: an unused offer to pin is withdrawn
MIN_TTL_SECONDS: Final = 60
MAX_TTL_SECONDS: Final = 3600  # D7

PageKey = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPublisher:
    """Describe a publisher to add.

    Attributes:
        resource: What it may publish to.
        issuer_url: An issuer that is configured.
        claims: Claim -> the values it may have; a `*` in one makes it a pattern where the claim allows that.
        pins: Immutable ids.
        pin_first_use: Take missing ids from the first token that matches everything else, within seven days.
        operations: Read, write, create; everything for a repository and read for an account when empty.
        ttl_seconds: Lifetime of its tokens, or the door's default.
        expires_at: Unix seconds after which it grants nothing, or never.
        replay: Overrides the issuer's rule (D8).
        resource_server: Name; the first one when `None`.
    """

    resource: Resource
    issuer_url: str
    claims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    pin_first_use: bool = False
    operations: Sequence[Operation] = ()
    ttl_seconds: int | None = None
    expires_at: int | None = None
    replay: ReplayMode | None = None
    resource_server: str | None = None


def add(change: Change, new: NewPublisher, issuer: Issuer) -> Publisher:
    """Add a publisher, and its resource and namespace when they are new.

    Raises:
        ConfigurationError: It trusts too much (M00), a value cannot be, or the very same one exists.
    """
    profile = profile_for(issuer.kind)
    conditions = tuple(make_condition(profile, claim, values) for claim, values in new.claims.items())
    waiting = check_publisher(profile, issuer, conditions, new.pins, pin_first_use=new.pin_first_use)
    operations = _operations(new)
    _check_times(new, change.at)
    server_id = _resource_server(change.connection, new, operations)
    resource_id = _ensure_resource(change, new.resource)
    publisher_id = new_publisher_id()
    for other in find(change.connection, resource=new.resource):
        same = set(other.conditions) == set(conditions) and other.issuer_id == issuer.id
        if same and {pin.claim: pin.value for pin in other.pins if pin.value} == dict(new.pins):
            raise ConfigurationError(f"publisher {other.id} says the same already")
    change.connection.execute(
        insert(tables.publisher).values(
            id=publisher_id,
            version=1,
            enabled=True,
            resource_id=resource_id,
            issuer_id=issuer.id,
            resource_server_id=server_id,
            operations=" ".join(operations),
            ttl_seconds=new.ttl_seconds,
            expires_at=new.expires_at,
            replay=None if new.replay is None else new.replay.value,
            created_by=change.actor,
            created_at=change.at,
        )
    )
    for condition in conditions:
        rows = [
            {"publisher_id": publisher_id, "claim": condition.claim, "operator": condition.operator.value, "value": v}
            for v in condition.values
        ]
        change.connection.execute(insert(tables.condition), rows)
    for claim, value in new.pins.items():
        _insert_pin(change, publisher_id, Pin(claim, value, PinSource.GIVEN, change.at))
    for claim in waiting:
        _insert_pin(
            change, publisher_id, Pin(claim, None, PinSource.FIRST_USE, None, change.at + PIN_FIRST_USE_SECONDS)
        )
    change.record(
        EventKind.PUBLISHER_ADDED,
        publisher_id=publisher_id,
        issuer_id=issuer.id,
        resource=str(new.resource),
        conditions={c.claim: [c.operator.value, *c.values] for c in conditions},
        pins=dict(new.pins),
        waiting=list(waiting),
        operations=list(operations),
        ttl_seconds=new.ttl_seconds,
        expires_at=new.expires_at,
        replay=None if new.replay is None else new.replay.value,
    )
    return get(change.connection, publisher_id)


def find(connection: Connection, *, resource: Resource | None = None) -> list[Publisher]:
    """Return the publishers of a resource or of all, oldest first, whatever their state."""
    query = _QUERY.order_by(tables.publisher.c.created_at, tables.publisher.c.id)
    if resource is not None:
        query = query.where(tables.resource.c.path == str(resource))
    return [_make(connection, row) for row in connection.execute(query).all()]


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
    for condition in pages.conditions(connection, namespaces, resource):
        table, publisher = tables.resource, tables.publisher
        key = (table.c.namespace_id, table.c.type, table.c.name)
        # The first one is what an index can start from, the second one is exact.
        query = _QUERY.where(*condition, tuple_(*key) >= tuple_(*(after or pages.FIRST)[:3]))
        if after is not None:
            query = query.where(tuple_(*key, publisher.c.id) > tuple_(*after))
        query = query.add_columns(table.c.namespace_id).order_by(*key, publisher.c.id).limit(limit - len(found))
        for row in connection.execute(query).all():
            made = _make(connection, row)
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
    return _make(connection, row)


def remove(change: Change, publisher_id: str, *, resource: Resource | None = None) -> Publisher:
    """Remove a publisher for good; its tokens stop working with it (D16, T91).

    Args:
        change: The transaction.
        publisher_id: Which one.
        resource: Of which resource, where the caller may only speak for one (T113).

    Raises:
        ConfigurationError: There is none of that id, or not of that resource.
    """
    found = get(change.connection, publisher_id)
    if resource is not None and found.resource != resource:
        raise ConfigurationError(f"there is no publisher {publisher_id!r} of {resource.short}")
    change.connection.execute(delete(tables.publisher).where(tables.publisher.c.id == publisher_id))
    change.record(
        EventKind.PUBLISHER_REMOVED,
        publisher_id=publisher_id,
        issuer_id=found.issuer_id,
        resource=str(found.resource),
    )
    return found


def set_enabled(change: Change, publisher_id: str, *, enabled: bool) -> Publisher:
    """Switch a publisher on or off.

    Raises:
        ConfigurationError: There is none of that id.
    """
    found = get(change.connection, publisher_id)
    if found.enabled != enabled:
        table = tables.publisher
        change.connection.execute(
            update(table).where(table.c.id == publisher_id).values(enabled=enabled, version=table.c.version + 1)
        )
        kind = EventKind.PUBLISHER_ENABLED if enabled else EventKind.PUBLISHER_DISABLED
        change.record(kind, publisher_id=publisher_id, issuer_id=found.issuer_id, resource=str(found.resource))
    return get(change.connection, publisher_id)


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


def _make(connection: Connection, row: Row[Any]) -> Publisher:
    resource = parse_resource(row.path)
    grouped: dict[tuple[str, str], list[str]] = {}
    condition, pin = tables.condition, tables.pin
    rows = connection.execute(
        select(condition).where(condition.c.publisher_id == row.id).order_by(condition.c.claim, condition.c.value)
    )
    for item in rows:
        grouped.setdefault((item.claim, item.operator), []).append(item.value)
    pins = connection.execute(select(pin).where(pin.c.publisher_id == row.id).order_by(pin.c.claim))
    return Publisher(
        id=row.id,
        version=row.version,
        resource=resource,
        issuer_id=row.issuer_id,
        issuer_url=row.url,
        issuer_kind=row.kind,
        operations=operations_from_text(row.operations),
        conditions=tuple(Condition(claim, Operator(op), tuple(values)) for (claim, op), values in grouped.items()),
        pins=tuple(Pin(p.claim, p.value, PinSource(p.source), p.pinned_at, p.lapses_at) for p in pins),
        audience=row.audience,
        token_prefix=row.user_token_prefix if resource.type is ResourceType.USER else row.token_prefix,
        enabled=bool(row.enabled),
        ttl_seconds=row.ttl_seconds,
        expires_at=row.expires_at,
        replay=None if row.replay is None else ReplayMode(row.replay),
        created_by=row.created_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )


def _insert_pin(change: Change, publisher_id: str, pin: Pin) -> None:
    change.connection.execute(
        insert(tables.pin).values(
            publisher_id=publisher_id,
            claim=pin.claim,
            value=pin.value,
            source=pin.source.value,
            pinned_at=pin.pinned_at,
            lapses_at=pin.lapses_at,
        )
    )


def _operations(new: NewPublisher) -> tuple[Operation, ...]:
    if new.operations:
        return tuple(operation for operation in Operation if operation in new.operations)
    return (Operation.READ,) if new.resource.type is ResourceType.USER else tuple(Operation)


def _check_times(new: NewPublisher, now: int) -> None:
    if new.ttl_seconds is not None and not MIN_TTL_SECONDS <= new.ttl_seconds <= MAX_TTL_SECONDS:
        raise ConfigurationError(f"ttl is {new.ttl_seconds} s; it must be {MIN_TTL_SECONDS}-{MAX_TTL_SECONDS} s")
    if new.expires_at is not None and new.expires_at <= now:
        raise ConfigurationError("the publisher would have expired already")


def _resource_server(connection: Connection, new: NewPublisher, operations: Sequence[Operation]) -> int:
    table, name = tables.resource_server, new.resource_server
    kind = kind_of_type(new.resource.type)
    query = select(table.c.id, table.c.name, table.c.operations).where(table.c.kind == kind).order_by(table.c.id)
    row = connection.execute(query if name is None else query.where(table.c.name == name)).first()
    if row is None and kind != HUB:
        raise ConfigurationError(
            f"there is no {kind} registry {name or 'yet'}".rstrip(),
            hint=f"Name its URL in the settings ([doors.{kind}], url = …), or add it:"
            f" keyless trust resource-server add NAME --audience URL --profile {kind}",
        )
    if row is None:
        what = "there is no resource server yet" if name is None else f"there is no resource server {name!r}"
        raise ConfigurationError(
            what,
            hint="Name this service's own URL (--config FILE or KEYLESS_PUBLIC_URL), or add one:"
            " keyless trust resource-server add NAME --audience URL",
        )
    if missing := [operation for operation in operations if operation not in operations_from_text(row.operations)]:
        raise ConfigurationError(f"resource server {row.name!r} does not know the operation {missing[0].value!r}")
    return int(row.id)


def _ensure_resource(change: Change, resource: Resource) -> int:
    check_text("the resource", str(resource))
    table = tables.resource
    found = change.connection.execute(select(table.c.id).where(table.c.path == str(resource))).scalar()
    if found is not None:
        return int(found)
    values = {"path": str(resource), "type": resource.type.value, "name": resource.name}
    key = change.connection.execute(
        insert(table).values(
            **values,
            namespace_id=_ensure_namespace(change, resource),
            state="active",
            publishers_only=False,
            created_at=change.at,
        )
    ).inserted_primary_key
    change.record(EventKind.RESOURCE_ADDED, resource=str(resource))
    return int(key[0]) if key is not None else 0


def _ensure_namespace(change: Change, resource: Resource) -> int:
    table = tables.namespace
    found = change.connection.execute(select(table.c.id).where(table.c.name == resource.namespace)).scalar()
    if found is not None:
        return int(found)
    kind = "user" if resource.type is ResourceType.USER else "unknown"  # a name alone does not tell people from orgs
    key = change.connection.execute(
        insert(table).values(name=resource.namespace, kind=kind, state="active", created_at=change.at)
    ).inserted_primary_key
    return int(key[0]) if key is not None else 0
