"""Codes and logins: made, redeemed, looked up, ended (D13). Only hashes are stored."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from keyless.errors import ConfigurationError, Error
from keyless.secret import Secret
from keyless.server.audit.event import EventKind
from keyless.server.people.credentials import (
    CODE_SECONDS,
    CODE_TRIES,
    LOGIN_SECONDS,
    MAX_READING_SECONDS,
    Code,
    login_digest,
    new_login,
)
from keyless.server.people.principal import Principal, PrincipalKind, Role, RoleGrant, SignedIn
from keyless.server.store import tables
from keyless.server.store.admin import principals
from keyless.server.store.admin.change import Change

FIRST_ADMIN: Final = "admin"
MAX_LOGINS: Final = 100  # of one principal at a time; the oldest gives way
_PURGE_ROWS: Final = 100


class LoginRefusedError(Error):
    """A code or a login is not good, or not any more; which of these is not said."""

    code = "login_refused"


@dataclass(frozen=True, slots=True)
class StartedLogin:
    """A login right after it was made: its secret exists nowhere else."""

    secret: Secret
    signed_in: SignedIn


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """What a list shows of a login."""

    id: str
    principal: str
    read_only: bool
    created_by: str
    created_at: int
    expires_at: int


def make_bootstrap_code(change: Change) -> Code:
    """Make the code that makes the first admin; an earlier one counts no more.

    Raises:
        ConfigurationError: There is an admin, who can make codes for others.
    """
    if principals.an_admin_exists(change.connection):
        raise ConfigurationError(
            "there is an admin already", hint="A way back in for somebody: keyless admin code --for NAME"
        )
    change.connection.execute(delete(tables.login_code).where(tables.login_code.c.purpose == "bootstrap"))
    return _insert_code(change, "bootstrap", None)


def make_login_code(change: Change, name: str) -> Code:
    """Make a code for a person to sign in with; an earlier one counts no more.

    Raises:
        ConfigurationError: There is no such person, or it is switched off.
    """
    found = principals.get(change.connection, name)
    if found.kind is not PrincipalKind.PERSON:
        raise ConfigurationError(
            f"{name} is a machine and cannot sign in", hint=f"See: keyless admin token --for {name}"
        )
    if not found.enabled:
        raise ConfigurationError(f"{name} is switched off")
    change.connection.execute(delete(tables.login_code).where(tables.login_code.c.principal_id == found.id))
    return _insert_code(change, "login", found)


def redeem(change: Change, text: str, *, name: str | None = None) -> StartedLogin | None:
    """Exchange a code for a login, or count a wrong try and return `None`. The transaction counts either way.

    Args:
        change: The transaction.
        text: What the person typed.
        name: What the first admin is called, when the code is the bootstrap code.

    Raises:
        ConfigurationError: The code is right and the name cannot be; nothing was used up.
    """
    table = tables.login_code
    code = Code.parse(text)
    row = None
    if code is not None:
        row = change.connection.execute(select(table).where(table.c.selector == code.selector)).first()
    if row is None:
        # Whoever guesses at anything while the first admin is awaited guesses at that code (D13: five tries).
        newest = select(table).where(table.c.purpose == "bootstrap", table.c.expires_at > change.at)
        if (awaited := change.connection.execute(newest).first()) is not None:
            _count_wrong_try(change, awaited)
        return None
    if code is None or not code.fits(row.secret_hash):
        _count_wrong_try(change, row)
        return None
    if row.used_at is not None or row.tries_left < 1 or row.expires_at <= change.at:
        return None
    used = update(table).where(table.c.selector == row.selector, table.c.used_at.is_(None)).values(used_at=change.at)
    if change.connection.execute(used).rowcount != 1:  # another process was faster
        return None
    if row.purpose == "bootstrap":
        if principals.an_admin_exists(change.connection):  # D13: void
            return None
        principal = _first_admin(change, name or FIRST_ADMIN)
    else:
        principal = principals.get(change.connection, _name_of(change.connection, row.principal_id))
        if not principal.enabled:
            return None
    return start(change, principal, seconds=LOGIN_SECONDS, read_only=False, by=row.purpose)


def start(change: Change, principal: Principal, *, seconds: int, read_only: bool, by: str) -> StartedLogin:
    """Start a login of a principal; `by` says how it was proven who it is."""
    _purge(change)
    secret = new_login(read_only=read_only)
    login_id = f"lgn_{secrets.token_hex(10)}"
    change.connection.execute(
        insert(tables.login).values(
            id=login_id,
            principal_id=principal.id,
            access="read" if read_only else "full",
            secret_hash=login_digest(secret.reveal()),
            created_by=change.actor,
            created_at=change.at,
            expires_at=change.at + seconds,
        )
    )
    change.note(
        EventKind.LOGIN_STARTED,
        principal=principal.name,
        login=login_id,
        by=by,
        access="read" if read_only else "full",
        expires_at=change.at + seconds,
    )
    return StartedLogin(secret, SignedIn(principal, login_id, change.at + seconds, read_only))


def make_reading_token(change: Change, name: str, *, seconds: int) -> StartedLogin:
    """Make a machine's token that can only read, for `keyless trust plan` in CI (D13).

    Raises:
        ConfigurationError: There is no such machine, it is a person, or the time is too long.
    """
    found = principals.get(change.connection, name)
    if found.kind is not PrincipalKind.MACHINE:
        raise ConfigurationError(
            f"{name} is a person, who has no lasting token (D13)", hint=f"See: keyless admin code --for {name}"
        )
    if not found.enabled:
        raise ConfigurationError(f"{name} is switched off")
    if not 60 <= seconds <= MAX_READING_SECONDS:
        raise ConfigurationError(f"a reading token lives 60-{MAX_READING_SECONDS} s, not {seconds} s")
    return start(change, found, seconds=seconds, read_only=True, by="token")


def look_up(connection: Connection, text: str, *, now: int) -> SignedIn | None:
    """Return who presents this login, if it is good now. Roles are read anew each time."""
    if (digest := login_digest(text)) is None:
        return None
    login, principal = tables.login, tables.principal
    query = (
        select(principal, login.c.id.label("login_id"), login.c.access, login.c.expires_at)
        .join(login, login.c.principal_id == principal.c.id)
        .where(login.c.secret_hash == digest)
    )
    row = connection.execute(query).first()
    if row is None or row.expires_at <= now or row.state != "active":
        return None
    found = principals.make(connection, row)
    # T99: what a machine holds can never write, whatever its row says.
    read_only = row.access != "full" or found.kind is not PrincipalKind.PERSON
    return SignedIn(found, row.login_id, row.expires_at, read_only)


def page(connection: Connection, name: str, *, now: int, after: str | None, limit: int) -> list[LoginRecord]:
    """Return the logins of a principal that are good now.

    Raises:
        ConfigurationError: There is nobody of that name.
    """
    found = principals.get(connection, name)
    table = tables.login
    query = select(table).where(table.c.principal_id == found.id, table.c.expires_at > now)
    if after is not None:
        query = query.where(table.c.id > after)
    rows = connection.execute(query.order_by(table.c.id).limit(limit)).all()
    return [
        LoginRecord(row.id, name, row.access != "full", row.created_by, row.created_at, row.expires_at) for row in rows
    ]


def end(change: Change, login_id: str, *, of: str | None = None) -> bool:
    """End a login at once; false when there is none of that id.

    Args:
        change: The transaction.
        login_id: Which one.
        of: Only if it is a login of the principal of this id.
    """
    login, principal = tables.login, tables.principal
    query = select(principal.c.name, principal.c.id).join(login, login.c.principal_id == principal.c.id)
    row = change.connection.execute(query.where(login.c.id == login_id)).first()
    if row is None or of not in {None, row.id}:
        return False
    change.connection.execute(delete(login).where(login.c.id == login_id))
    change.note(EventKind.LOGIN_ENDED, principal=row.name, login=login_id)
    return True


def _insert_code(change: Change, purpose: str, principal: Principal | None) -> Code:
    _purge(change)
    code = Code.new()
    change.connection.execute(
        insert(tables.login_code).values(
            selector=code.selector,
            purpose=purpose,
            principal_id=None if principal is None else principal.id,
            secret_hash=code.digest(),
            tries_left=CODE_TRIES,
            created_by=change.actor,
            created_at=change.at,
            expires_at=change.at + CODE_SECONDS,
        )
    )
    name = None if principal is None else principal.name
    change.note(EventKind.LOGIN_CODE_MADE, purpose=purpose, principal=name, expires_at=change.at + CODE_SECONDS)
    return code


def _count_wrong_try(change: Change, row: Row[Any]) -> None:
    if row.tries_left < 1 or row.used_at is not None or row.expires_at <= change.at:
        return  # nothing left to guess, and no row that a stranger could fill the disk with (D15)
    table = tables.login_code
    query = update(table).where(table.c.selector == row.selector).values(tries_left=table.c.tries_left - 1)
    change.connection.execute(query)
    change.note(EventKind.LOGIN_REFUSED, purpose=row.purpose, tries_left=row.tries_left - 1)


def _first_admin(change: Change, name: str) -> Principal:
    roles = [RoleGrant(Role.ADMIN)]
    found = principals.find(change.connection, name)
    if found is None:
        return principals.add(change, name, PrincipalKind.PERSON, roles)
    if found.kind is not PrincipalKind.PERSON:
        raise ConfigurationError(f"{name} is a machine", hint="Give the first admin another name.")
    if found.provider is not None:  # who signs in there chose that name, and perhaps in order to be here
        raise ConfigurationError(
            f"{name} is somebody who signs in at the identity provider", hint="Give the first admin another name."
        )
    if not found.enabled:
        principals.set_enabled(change, name, enabled=True)
    return principals.set_roles(change, name, [*found.roles, *roles])


def _name_of(connection: Connection, principal_id: str) -> str:
    query = select(tables.principal.c.name).where(tables.principal.c.id == principal_id)
    return str(connection.execute(query).scalar_one())


def _purge(change: Change) -> None:
    """Delete some of what is over; who makes something new pays for it."""
    for table, key in ((tables.login, tables.login.c.id), (tables.login_code, tables.login_code.c.selector)):
        old = select(key).where(table.c.expires_at <= change.at).limit(_PURGE_ROWS)
        change.connection.execute(delete(table).where(key.in_(old)))
