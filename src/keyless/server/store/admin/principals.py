"""Principals and their roles: adding, changing, removing, reading."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from keyless.errors import ConfigurationError
from keyless.resource import parse_resource
from keyless.server.audit.event import EventKind
from keyless.server.people.principal import EVERYWHERE, Principal, PrincipalKind, Role, RoleGrant
from keyless.server.store import tables
from keyless.server.store.admin.change import Change

MAX_ROLES: Final = 100
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")


class UnknownPrincipalError(ConfigurationError):
    """There is nobody of that name."""

    code = "principal_unknown"


def add(
    change: Change,
    name: str,
    kind: PrincipalKind,
    roles: Iterable[RoleGrant],
    *,
    identity: tuple[str, str] | None = None,
) -> Principal:
    """Add a principal; `identity` is issuer and subject of somebody who signs in at an identity provider.

    Raises:
        ConfigurationError: The name or a role cannot be, or somebody has that name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"name {name!a} is not 1-64 lower-case letters, digits and . _ @ -, starting and ending with the former"
        )
    wanted = _checked(kind, roles)
    if find(change.connection, name) is not None:
        raise ConfigurationError(f"{name} is here already", hint=f"See: keyless admin person show {name}")
    principal_id = f"prn_{secrets.token_hex(10)}"
    change.connection.execute(
        insert(tables.principal).values(
            id=principal_id,
            name=name,
            kind=kind.value,
            state="active",
            version=1,
            oidc_issuer=None if identity is None else identity[0],
            oidc_subject=None if identity is None else identity[1],
            created_by=change.actor,
            created_at=change.at,
        )
    )
    _insert_roles(change, principal_id, wanted)
    change.note(
        EventKind.PRINCIPAL_ADDED, principal=name, of_kind=kind.value, roles=words(wanted), oidc=list(identity or ())
    )
    return get(change.connection, name)


def set_roles(change: Change, name: str, roles: Iterable[RoleGrant], *, last_admin_may_go: bool = False) -> Principal:
    """Replace the roles of a principal; counts at its next request.

    Args:
        change: The transaction.
        name: Whose.
        roles: The new ones.
        last_admin_may_go: An identity provider's word counts even then.

    Raises:
        ConfigurationError: There is nobody of that name, a role cannot be, or no admin would be left.
    """
    found = get(change.connection, name)
    wanted = _checked(found.kind, roles)
    if wanted == found.roles:
        return found
    change.connection.execute(delete(tables.role).where(tables.role.c.principal_id == found.id))
    _insert_roles(change, found.id, wanted)
    _grow(change, found.id)
    if not last_admin_may_go:
        _keep_an_admin(change, found)
    change.note(EventKind.PRINCIPAL_CHANGED, principal=name, roles=words(wanted) or ["none"])
    return get(change.connection, name)


def set_enabled(change: Change, name: str, *, enabled: bool) -> Principal:
    """Switch a principal on or off; off, its logins end.

    Raises:
        ConfigurationError: There is nobody of that name, or no admin would be left.
    """
    found = get(change.connection, name)
    if found.enabled == enabled:
        return found
    _grow(change, found.id, state="active" if enabled else "disabled")
    if not enabled:
        _end_everything(change, found.id)
        _keep_an_admin(change, found)
    change.note(EventKind.PRINCIPAL_CHANGED, principal=name, state="active" if enabled else "disabled")
    return get(change.connection, name)


def remove(change: Change, name: str) -> Principal:
    """Remove a principal for good, its logins with it. The audit keeps its name.

    Raises:
        ConfigurationError: There is nobody of that name, or no admin would be left.
    """
    found = get(change.connection, name)
    change.connection.execute(delete(tables.principal).where(tables.principal.c.id == found.id))
    _keep_an_admin(change, found)
    change.note(EventKind.PRINCIPAL_REMOVED, principal=name)
    return found


def find(connection: Connection, name: str) -> Principal | None:
    """Return the principal of this name, or `None`."""
    row = connection.execute(select(tables.principal).where(tables.principal.c.name == name)).first()
    return None if row is None else make(connection, row)


def find_identity(connection: Connection, issuer: str, subject: str) -> Principal | None:
    """Return the person who signs in as this subject at this provider, or `None`."""
    table = tables.principal
    query = select(table).where(table.c.oidc_issuer == issuer, table.c.oidc_subject == subject)
    row = connection.execute(query).first()
    return None if row is None else make(connection, row)


def get(connection: Connection, name: str) -> Principal:
    """Return the principal of this name.

    Raises:
        UnknownPrincipalError: There is none.
    """
    if (found := find(connection, name)) is None:
        raise UnknownPrincipalError(f"there is nobody called {name!a}", hint="See: keyless admin person list")
    return found


def page(connection: Connection, *, after: str | None, limit: int) -> list[Principal]:
    """Return principals in the order of their names, those behind `after`."""
    table = tables.principal
    query = select(table).where(table.c.name > (after or "")).order_by(table.c.name).limit(limit)
    return [make(connection, row) for row in connection.execute(query).all()]


def make(connection: Connection, row: Row[Any]) -> Principal:
    """Make a principal of a row of its table."""
    role = tables.role
    query = select(role.c.role, role.c.namespace).where(role.c.principal_id == row.id)
    return Principal(
        id=row.id,
        name=row.name,
        kind=PrincipalKind(row.kind),
        enabled=row.state == "active",
        version=row.version,
        roles=tuple(sorted(RoleGrant(Role(name), namespace) for name, namespace in connection.execute(query))),
        created_by=row.created_by,
        created_at=row.created_at,
        provider=row.oidc_issuer,
    )


def an_admin_exists(connection: Connection) -> bool:
    """Tell whether somebody who can sign in is an admin."""
    role, principal = tables.role, tables.principal
    query = (
        select(func.count())
        .select_from(role.join(principal, principal.c.id == role.c.principal_id))
        .where(role.c.role == Role.ADMIN.value, role.c.namespace == EVERYWHERE, principal.c.state == "active")
    )
    return bool(connection.execute(query).scalar_one())


def words(roles: Iterable[RoleGrant]) -> list[str]:
    """Return roles as the audit and the command line write them: `admin`, `owner:acme`."""
    return [f"{grant.role}:{grant.namespace}" if grant.namespace else grant.role.value for grant in roles]


def parse_role(text: str) -> RoleGrant:
    """Parse `admin`, `viewer` or `owner:NAMESPACE`.

    Raises:
        ConfigurationError: It is none of these.
    """
    name, colon, namespace = text.partition(":")
    if name not in {role.value for role in Role} or (colon and not namespace):
        raise ConfigurationError(
            f"role {text!a} is not known", hint="Write admin, viewer, owner, viewer:NAMESPACE or owner:NAMESPACE."
        )
    return RoleGrant(Role(name), namespace)


def _checked(kind: PrincipalKind, roles: Iterable[RoleGrant]) -> tuple[RoleGrant, ...]:
    wanted = tuple(sorted(set(roles)))
    if len(wanted) > MAX_ROLES:
        raise ConfigurationError(f"a principal has at most {MAX_ROLES} roles")
    for grant in wanted:
        if grant.role is Role.ADMIN and grant.namespace != EVERYWHERE:
            raise ConfigurationError("an admin is one everywhere", hint=f"Make it owner:{grant.namespace}.")
        if kind is PrincipalKind.MACHINE and grant.role is not Role.VIEWER:
            # T99: not even by a slip of the pen.
            raise ConfigurationError("a machine can only be a viewer: only people change trust")
        if grant.namespace != EVERYWHERE:
            parse_resource(grant.namespace)  # a namespace is spelled like an account
            if "/" in grant.namespace:
                raise ConfigurationError(f"{grant.namespace!a} is not a namespace")
    return wanted


def _insert_roles(change: Change, principal_id: str, roles: Sequence[RoleGrant]) -> None:
    if roles:
        rows = [{"principal_id": principal_id, "role": g.role.value, "namespace": g.namespace} for g in roles]
        change.connection.execute(insert(tables.role), rows)


def _grow(change: Change, principal_id: str, **values: object) -> None:
    table = tables.principal
    query = update(table).where(table.c.id == principal_id).values(version=table.c.version + 1, **values)
    change.connection.execute(query)


def _end_everything(change: Change, principal_id: str) -> None:
    for table in (tables.login, tables.login_code, tables.web_session):
        change.connection.execute(delete(table).where(table.c.principal_id == principal_id))


def _keep_an_admin(change: Change, before: Principal) -> None:
    if RoleGrant(Role.ADMIN) in before.roles and not an_admin_exists(change.connection):
        raise ConfigurationError(
            f"{before.name} is the last admin", hint="Make somebody else an admin first; or work on the store itself."
        )
