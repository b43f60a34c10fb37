"""Resources and their namespaces: made with the first publisher, locked, kept for publishers only (T93, T101, T109)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, insert, literal_column, select, update

from keyless.errors import ConfigurationError
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.server.audit.event import EventKind
from keyless.server.store import tables
from keyless.server.store.admin.change import Change
from keyless.server.store.admin.rules import check_text
from keyless.server.store.pending import NAME_TAKEN

ACTIVE: Final = "active"
PENDING: Final = "pending"
LOCKED: Final = "locked"


@dataclass(frozen=True, slots=True)
class ResourceState:
    """What is true of a resource: `state` is `pending`, `active` or `locked`; its namespace is `active` or `locked`."""

    resource: Resource
    state: str
    namespace_state: str
    publishers_only: bool


@dataclass(frozen=True, slots=True)
class Locks:
    """Everything that is locked. `everything` is the switch that stops all exchanges and all tokens (T109)."""

    everything: bool
    namespaces: tuple[str, ...]
    resources: tuple[Resource, ...]
    issuers: tuple[str, ...]


def ensure(change: Change, resource: Resource, *, pending: bool) -> int:
    """Return the id of a resource for a new publisher of it, made with its namespace when it is new.

    An ordinary publisher says that the resource exists: those that waited for it are removed.

    Raises:
        ConfigurationError: The resource exists already, and the publisher would wait for that.
    """
    check_text("the resource", str(resource))
    table = tables.resource
    found = change.connection.execute(select(table.c.id, table.c.state).where(table.c.path == str(resource))).first()
    if found is not None:
        if pending and found.state != PENDING:
            raise ConfigurationError(f"{resource.short} exists already", hint="Leave --pending out.")
        if not pending and found.state == PENDING:
            note_existence(change, resource)
        return int(found.id)
    key = change.connection.execute(
        insert(table).values(
            path=str(resource),
            type=resource.type.value,
            name=resource.name,
            namespace_id=_ensure_namespace(change, resource),
            state=PENDING if pending else ACTIVE,
            publishers_only=0,
            created_at=change.at,
        )
    ).inserted_primary_key
    change.record(EventKind.RESOURCE_ADDED, resource=str(resource), state=PENDING if pending else ACTIVE)
    return int(key[0]) if key is not None else 0


def note_existence(change: Change, resource: Resource) -> bool:
    """Note that a pending resource came into being; who waited for it waits for nothing and is removed (T93).

    Returns:
        False when it was not pending, or nobody ever named it here.
    """
    table, publisher = tables.resource, tables.publisher
    waiting = select(table.c.id).where(table.c.path == str(resource), table.c.state == PENDING)
    if (number := change.connection.execute(waiting).scalar()) is None:
        return False
    change.connection.execute(update(table).where(table.c.id == number).values(state=ACTIVE))
    change.record(EventKind.RESOURCE_CHANGED, resource=str(resource), state=ACTIVE)
    mine = (publisher.c.resource_id == number) & publisher.c.pending_until.is_not(None)
    for row in change.connection.execute(select(publisher.c.id, publisher.c.issuer_id).where(mine)).all():
        change.connection.execute(delete(publisher).where(publisher.c.id == row.id))
        change.record(
            EventKind.PUBLISHER_REMOVED,
            publisher_id=row.id,
            issuer_id=row.issuer_id,
            resource=str(resource),
            reason=NAME_TAKEN,
        )
    return True


def state_of(connection: Connection, resource: Resource) -> ResourceState:
    """Return what is true of a resource.

    Raises:
        ConfigurationError: Nobody ever named it here.
    """
    table, space = tables.resource, tables.namespace
    row = connection.execute(
        select(table.c.state, table.c.publishers_only, space.c.state.label("space"))
        .join(space, space.c.id == table.c.namespace_id)
        .where(table.c.path == str(resource))
    ).first()
    if row is None:
        raise _unknown(resource)
    return ResourceState(resource, row.state, row.space, bool(row.publishers_only))


def set_locked(change: Change, resource: Resource, *, locked: bool, reason: str | None = None) -> None:
    """Lock a resource or make it active again; a locked one gets no tokens, and its live ones stop working.

    Raises:
        ConfigurationError: Nobody ever named it here, or it does not exist yet.
    """
    before = state_of(change.connection, resource).state
    wanted = LOCKED if locked else ACTIVE
    if before == PENDING:
        raise ConfigurationError(
            f"{resource.short} does not exist yet", hint="Remove its pending publishers instead: keyless trust list"
        )
    if before != wanted:
        _set(change, resource, {"state": wanted})
        change.record(EventKind.RESOURCE_CHANGED, resource=str(resource), reason=reason, state=wanted)


def set_publishers_only(change: Change, resource: Resource, *, publishers_only: bool) -> None:
    """Say whether a resource takes tokens of trusted publishers alone, and no stored ones (T101).

    Raises:
        ConfigurationError: Nobody ever named it here.
    """
    if state_of(change.connection, resource).publishers_only != publishers_only:
        _set(change, resource, {"publishers_only": int(publishers_only)})
        change.record(EventKind.RESOURCE_CHANGED, resource=str(resource), publishers_only=str(publishers_only).lower())


def set_namespace_locked(change: Change, name: str, *, locked: bool, reason: str | None = None) -> None:
    """Lock a namespace or open it again: everything in it is locked with it.

    Raises:
        ConfigurationError: Nothing of that namespace is known here.
    """
    table = tables.namespace
    before = change.connection.execute(select(table.c.state).where(table.c.name == name)).scalar()
    if before is None:
        raise ConfigurationError(f"namespace {name!r} is not known here", hint="See: keyless trust list")
    wanted = LOCKED if locked else ACTIVE
    if before != wanted:
        change.connection.execute(update(table).where(table.c.name == name).values(state=wanted))
        change.record(EventKind.NAMESPACE_CHANGED, reason=reason, namespace=name, state=wanted)


def set_all_locked(change: Change, *, locked: bool, reason: str | None = None) -> None:
    """Stop everything, or let it go on: no exchange, and no token of ours works (T109)."""
    table = tables.meta
    before = change.connection.execute(select(table.c.value).where(table.c.key == LOCKED)).scalar()
    if bool(before) != locked:
        change.connection.execute(update(table).where(table.c.key == LOCKED).values(value=int(locked)))
        change.record(EventKind.SERVICE_LOCKED if locked else EventKind.SERVICE_UNLOCKED, reason=reason)


def locks(connection: Connection) -> Locks:
    """Return everything that is locked."""
    resource, space, issuer, meta = tables.resource, tables.namespace, tables.issuer, tables.meta
    locked: ColumnElement[str] = literal_column(f"'{LOCKED}'")  # not a parameter: it is what the indexes are made by
    spaces = connection.execute(select(space.c.name).where(space.c.state == locked).order_by(space.c.name)).scalars()
    paths = connection.execute(select(resource.c.path).where(resource.c.state == locked).order_by(resource.c.path))
    urls = connection.execute(select(issuer.c.url).where(issuer.c.enabled == 0).order_by(issuer.c.url)).scalars()
    return Locks(
        everything=bool(connection.execute(select(meta.c.value).where(meta.c.key == LOCKED)).scalar()),
        namespaces=tuple(spaces),
        resources=tuple(parse_resource(path) for path in paths.scalars()),
        issuers=tuple(urls),
    )


def _set(change: Change, resource: Resource, values: Mapping[str, object]) -> None:
    table = tables.resource
    change.connection.execute(update(table).where(table.c.path == str(resource)).values(**values))


def _unknown(resource: Resource) -> ConfigurationError:
    return ConfigurationError(f"{resource.short} is not known here", hint="See: keyless trust list")


def _ensure_namespace(change: Change, resource: Resource) -> int:
    table = tables.namespace
    found = change.connection.execute(select(table.c.id).where(table.c.name == resource.namespace)).scalar()
    if found is not None:
        return int(found)
    kind = "user" if resource.type is ResourceType.USER else "unknown"  # a name alone does not tell people from orgs
    key = change.connection.execute(
        insert(table).values(name=resource.namespace, kind=kind, state=ACTIVE, created_at=change.at)
    ).inserted_primary_key
    return int(key[0]) if key is not None else 0
