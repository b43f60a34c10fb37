"""Resource servers: the hubs and registries that accept our tokens."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import delete, func, insert, select

from keyless.errors import ConfigurationError
from keyless.secret import Secret
from keyless.server.audit.event import EventKind
from keyless.server.settings import check_public_url
from keyless.server.store import tables
from keyless.server.store.admin.change import Change
from keyless.server.store.ids import new_credential
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
        raise ConfigurationError(
            f"there is no resource server {name!r}", hint="See: keyless trust resource-server list"
        )
    users = select(func.count()).where(tables.publisher.c.resource_server_id == number)
    if count := change.connection.execute(users).scalar_one():
        raise ConfigurationError(
            f"{count} publishers issue tokens for resource server {name!r}", hint="Remove them first."
        )
    change.connection.execute(delete(table).where(table.c.id == number))
    change.record(EventKind.RESOURCE_SERVER_REMOVED, resource_server=name)
