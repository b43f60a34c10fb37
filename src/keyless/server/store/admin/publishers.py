"""Trusted Publishers: adding, changing, listing, switching, removing (D10, D16, T92, T93)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from keyless.errors import ConfigurationError
from keyless.issuers import Profile, profile_for
from keyless.oidc.issuer import Issuer
from keyless.resource import Resource, ResourceType
from keyless.server.audit.event import EventKind
from keyless.server.store import tables
from keyless.server.store.admin import resources
from keyless.server.store.admin.change import Change
from keyless.server.store.admin.description import (
    NewPublisher,
    check,
    differences,
    must_create,
    operations_of,
    settings_of,
)
from keyless.server.store.admin.publisher_rows import find, get
from keyless.server.store.admin.second_person import asked_by, check_another, waiting_columns
from keyless.server.store.ids import new_publisher_id
from keyless.server.store.pending import PENDING_SECONDS
from keyless.server.store.records import operations_from_text
from keyless.server.store.resource_servers import HUB, kind_of_type
from keyless.trust.publisher import Condition, Operation, Pin, PinSource, Publisher

PIN_FIRST_USE_SECONDS: Final = 7 * 24 * 3600  # D10: an unused offer to pin is withdrawn
TERMS_CHANGED: Final = "publisher changed"
_TERMS_OF_TOKENS: Final = frozenset({"conditions", "pins", "operations"})
MAX_PENDING_PER_ACTOR: Final = 100  # T93: of those that wait now


def add(change: Change, new: NewPublisher, issuer: Issuer) -> Publisher:
    """Add a publisher, and its resource and namespace when they are new.

    Raises:
        ConfigurationError: It trusts too much (M00), a value cannot be, or the very same one exists.
    """
    profile = profile_for(issuer.kind)
    conditions, waiting = check(profile, issuer, new, change.at)
    operations = operations_of(new)
    server_id = _resource_server(change.connection, new, operations)
    pending_until = _pending_until(change, new, operations)
    resource_id = resources.ensure(change, new.resource, pending=new.pending)
    publisher_id = new_publisher_id()
    for other in find(change.connection, resource=new.resource):
        _refuse_double(other, issuer, profile, conditions, new)
    change.connection.execute(
        insert(tables.publisher).values(
            id=publisher_id,
            version=1,
            resource_id=resource_id,
            issuer_id=issuer.id,
            resource_server_id=server_id,
            pending_until=pending_until,
            created_by=change.actor,
            created_at=change.at,
            **{"enabled": 1, **waiting_columns(change)},
            **settings_of(new, operations),
        )
    )
    _insert_conditions(change, publisher_id, conditions)
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
        pending_until=pending_until,
        settings={name: value for name, value in settings_of(new, operations).items() if value is not None},
    )
    return get(change.connection, publisher_id)


def change_to(
    change: Change, publisher_id: str, new: NewPublisher, issuer: Issuer, *, expected_version: int | None = None
) -> Publisher:
    """Make a publisher fit a description. Its id, resource, issuer, resource server and history stay.

    Args:
        change: The transaction.
        publisher_id: Which one.
        new: As it is to be; `resource_server` and `pending` are not looked at.
        issuer: Its issuer.
        expected_version: The version that the caller saw, or any.

    Raises:
        ConfigurationError: It would trust too much, a value cannot be, another one says the same, or it was changed
            since the caller saw it.
    """
    before = get(change.connection, publisher_id)
    if expected_version is not None and before.version != expected_version:
        raise ConfigurationError(
            f"publisher {publisher_id} was changed meanwhile: it has version {before.version}, not {expected_version}"
        )
    if (before.resource, before.issuer_id) != (new.resource, issuer.id):
        raise ConfigurationError(
            "a publisher keeps its resource and its issuer", hint="Add another one, and remove this one."
        )
    profile = profile_for(issuer.kind)
    if new.expires_at == before.expires_at:  # what is over already may be changed and stay over
        conditions, waiting = check(profile, issuer, new, None)
    else:
        conditions, waiting = check(profile, issuer, new, change.at)
    operations = operations_of(new)
    if before.pending_until is not None and Operation.CREATE not in operations:
        raise must_create()
    server = tables.resource_server
    own_server = select(server.c.name).where(server.c.audience == before.audience)
    name = change.connection.execute(own_server).scalar_one()
    _resource_server(change.connection, replace(new, resource_server=name), operations)
    for other in find(change.connection, resource=new.resource):
        if other.id != publisher_id:
            _refuse_double(other, issuer, profile, conditions, new)
    kept = {pin.claim: pin for pin in before.pins}
    pins = [
        pin if (pin := kept.get(claim)) and pin.value == value else Pin(claim, value, PinSource.GIVEN, change.at)
        for claim, value in new.pins.items()
    ]
    pins += [
        pin
        if (pin := kept.get(claim)) and pin.value is None
        else Pin(claim, None, PinSource.FIRST_USE, None, change.at + PIN_FIRST_USE_SECONDS)
        for claim in waiting
    ]
    changed = differences(before, conditions, pins, settings_of(new, operations))
    if not changed:
        return before
    table = tables.publisher
    change.connection.execute(
        update(table)
        .where(table.c.id == publisher_id)
        .values(version=table.c.version + 1, **settings_of(new, operations), **waiting_columns(change))
    )
    for child in (tables.condition, tables.pin):
        change.connection.execute(delete(child).where(child.c.publisher_id == publisher_id))
    _insert_conditions(change, publisher_id, conditions)
    for pin in pins:
        _insert_pin(change, publisher_id, pin)
    ended = _end_tokens(change, publisher_id) if changed.keys() & _TERMS_OF_TOKENS else 0
    change.record(
        EventKind.PUBLISHER_CHANGED,
        publisher_id=publisher_id,
        issuer_id=issuer.id,
        resource=str(new.resource),
        changed=changed,
        tokens_ended=ended or None,
    )
    return get(change.connection, publisher_id)


def _end_tokens(change: Change, publisher_id: str) -> int:
    """End the live tokens of a publisher whose terms they were not given under any more (T91); return how many."""
    table = tables.token
    query = update(table).where(
        table.c.publisher_id == publisher_id, table.c.revoked_at.is_(None), table.c.expires_at > change.at
    )
    return change.connection.execute(query.values(revoked_at=change.at, revoked_reason=TERMS_CHANGED)).rowcount


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


def set_enabled(change: Change, publisher_id: str, *, enabled: bool, reason: str | None = None) -> Publisher:
    """Switch a publisher on or off; off, its live tokens stop working too.

    Args:
        change: The transaction.
        publisher_id: Which one.
        enabled: On, or off.
        reason: Why it is switched off, for whoever sees it paused.

    Raises:
        ConfigurationError: There is none of that id.
    """
    found = get(change.connection, publisher_id)
    if enabled:
        check_another(change, found.paused_reason)
    elif asked_by(found.paused_reason) is not None:
        return found  # it waits already, and goes on waiting for somebody else
    if found.enabled != enabled or (not enabled and found.paused_reason != reason and reason is not None):
        table, hours = tables.publisher, tables.publisher_hour
        values: dict[str, object] = {"enabled": int(enabled), "paused_reason": None if enabled else reason}
        if enabled:  # the hour that set the alarm off begins anew
            change.connection.execute(delete(hours).where(hours.c.publisher_id == publisher_id))
        else:
            values["paused_at"] = change.at
        change.connection.execute(
            update(table).where(table.c.id == publisher_id).values(version=table.c.version + 1, **values)
        )
        kind = EventKind.PUBLISHER_ENABLED if enabled else EventKind.PUBLISHER_DISABLED
        change.record(
            kind, publisher_id=publisher_id, issuer_id=found.issuer_id, resource=str(found.resource), reason=reason
        )
    return get(change.connection, publisher_id)


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


def _refuse_double(
    other: Publisher, issuer: Issuer, profile: Profile, conditions: Sequence[Condition], new: NewPublisher
) -> None:
    """Refuse a second publisher that says the same, or a second one that waits for one identity and name (T93)."""
    if other.issuer_id != issuer.id:
        return
    pins = {pin.claim: pin.value for pin in other.pins if pin.value}
    if set(other.conditions) == set(conditions) and pins == dict(new.pins):
        raise ConfigurationError(f"publisher {other.id} says the same already")
    anchor = profile.repository_claim
    same = [c for c in other.conditions if c.claim == anchor] == [c for c in conditions if c.claim == anchor]
    if new.pending and other.pending_until is not None and pins == dict(new.pins) and same:
        raise ConfigurationError(
            f"publisher {other.id} waits for {new.resource.short} in the name of this identity already",
            hint="Remove that one, or change it: keyless trust edit",
        )


def _pending_until(change: Change, new: NewPublisher, operations: Sequence[Operation]) -> int | None:
    if not new.pending:
        return None
    if new.resource.type is ResourceType.USER:
        raise ConfigurationError("an account cannot be brought into being by a job", hint="Leave --pending out.")
    if Operation.CREATE not in operations:
        raise must_create()
    table = tables.publisher
    mine = (table.c.created_by == change.actor) & (table.c.pending_until > change.at)
    if change.connection.execute(select(func.count()).where(mine)).scalar_one() >= MAX_PENDING_PER_ACTOR:
        raise ConfigurationError(f"{MAX_PENDING_PER_ACTOR} publishers of {change.actor} wait for their names already")
    return change.at + PENDING_SECONDS


def _insert_conditions(change: Change, publisher_id: str, conditions: Iterable[Condition]) -> None:
    for condition in conditions:
        rows = [
            {"publisher_id": publisher_id, "claim": condition.claim, "operator": condition.operator.value, "value": v}
            for v in condition.values
        ]
        change.connection.execute(insert(tables.condition), rows)


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
