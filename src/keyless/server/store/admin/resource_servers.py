"""Resource servers: the hubs and registries that accept our tokens."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from keyless.errors import ConfigurationError
from keyless.secret import Secret
from keyless.server.audit.event import EventKind
from keyless.server.settings import check_public_url
from keyless.server.store import tables
from keyless.server.store.admin.change import Change
from keyless.server.store.ids import new_credential
from keyless.server.store.records import ResourceServer, operations_from_text
from keyless.server.store.resource_servers import ALL_OPERATIONS, PROFILES, hash_credential, kind_of_profile

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")


def add(change: Change, name: str, *, audience: str, profile: str = "keyless") -> Secret:
    """Add a resource server and return its credential, which is shown this once and kept as a hash.

    Args:
        change: The transaction.
        name: Lower-case letters, digits and dashes.
        audience: Its own URL: `aud` of its tokens.
        profile: `keyless` or `huggingface`: the token prefixes; for a package registry the type of what it holds.

    Raises:
        ConfigurationError: A value cannot be, or the name or audience is taken.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"resource server name {name!r} has other than lower-case letters, digits and dashes")
    if profile not in PROFILES:
        raise ConfigurationError(f"unknown profile {profile!r}", hint=f"Profiles: {', '.join(PROFILES)}.")
    try:
        check_public_url(audience)
    except ValueError as error:
        raise ConfigurationError(f"audience {audience!r}: {error}") from None
    table = tables.resource_server
    taken = select(table.c.name).where((table.c.name == name) | (table.c.audience == audience))
    if (row := change.connection.execute(taken).first()) is not None:
        raise ConfigurationError(f"resource server {row.name!r} has that name or audience already")
    credential = new_credential()
    prefix, user_prefix = PROFILES[profile]
    change.connection.execute(
        insert(table).values(
            name=name,
            audience=audience,
            token_prefix=prefix,
            user_token_prefix=user_prefix,
            operations=ALL_OPERATIONS,
            credential_hash=hash_credential(credential),
            kind=kind_of_profile(profile),
            created_by=change.actor,
            created_at=change.at,
        )
    )
    change.record(EventKind.RESOURCE_SERVER_ADDED, resource_server=name, audience=audience, profile=profile)
    return Secret(credential)


def remove(change: Change, name: str) -> None:
    """Remove a resource server that no publisher names.

    Raises:
        ConfigurationError: There is none of that name, or publishers still name it.
    """
    table = tables.resource_server
    number = change.connection.execute(select(table.c.id).where(table.c.name == name)).scalar()
    if number is None:
        raise _unknown(name)
    users = select(func.count()).where(tables.publisher.c.resource_server_id == number)
    if count := change.connection.execute(users).scalar_one():
        raise ConfigurationError(
            f"{count} publishers issue tokens for resource server {name!r}", hint="Remove them first."
        )
    change.connection.execute(delete(table).where(table.c.id == number))
    change.record(EventKind.RESOURCE_SERVER_REMOVED, resource_server=name)


def get(connection: Connection, name: str) -> ResourceServer:
    """Return the resource server of this name.

    Raises:
        ConfigurationError: There is none.
    """
    row = connection.execute(_QUERY.where(tables.resource_server.c.name == name)).first()
    if row is None:
        raise _unknown(name)
    return _make(row)


def read_all(connection: Connection) -> tuple[ResourceServer, ...]:
    """Return all resource servers, the first one made leading."""
    return tuple(_make(row) for row in connection.execute(_QUERY.order_by(tables.resource_server.c.id)).all())


def page(connection: Connection, *, after: int | None, limit: int) -> list[tuple[int, ResourceServer]]:
    """Return resource servers with their numbers, the first one made leading: those behind the number `after`."""
    table = tables.resource_server
    rows = connection.execute(_QUERY.where(table.c.id > (after or 0)).order_by(table.c.id).limit(limit)).all()
    return [(row.id, _make(row)) for row in rows]


def renew_credential(change: Change, name: str) -> Secret:
    """Replace the credential of a resource server and return the new one; only its hash is kept.

    Raises:
        ConfigurationError: There is none of that name.
    """
    credential = new_credential()
    table = tables.resource_server
    values = {"credential_hash": hash_credential(credential)}
    if change.connection.execute(update(table).where(table.c.name == name).values(**values)).rowcount != 1:
        raise _unknown(name)
    change.record(EventKind.RESOURCE_SERVER_CHANGED, resource_server=name, credential="renewed")
    return Secret(credential)


_QUERY: Final[Select[Any]] = select(tables.resource_server)


def _make(row: Row[Any]) -> ResourceServer:
    return ResourceServer(
        row.name,
        row.audience,
        row.token_prefix,
        row.user_token_prefix,
        operations_from_text(row.operations),
        row.credential_hash is not None,
        row.kind,
    )


def _unknown(name: str) -> ConfigurationError:
    return ConfigurationError(f"there is no resource server {name!r}", hint="See: keyless trust resource-server list")
