"""The sessions of browsers: made after a proof, looked up by their cookie, listed, ended. Only hashes are stored.

A session is good for reading until it ends. To change trust its person must have proved itself a short while ago: by a
one-time code or at the identity provider, as for every other login (D13).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from keyless.secret import Secret
from keyless.server.audit.event import EventKind
from keyless.server.people.credentials import LOGIN_SECONDS
from keyless.server.people.principal import Principal, PrincipalKind, SignedIn
from keyless.server.store import tables
from keyless.server.store.admin import principals
from keyless.server.store.admin.change import Change

SESSION_SECONDS: Final = 12 * 3600
IDLE_SECONDS: Final = 2 * 3600
SEEN_SECONDS: Final = 60  # `seen_at` is written once a minute, not with every page
MAX_SESSIONS: Final = 50  # of one person; the oldest gives way
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_PURGE_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class WebSession:
    """One browser's session. Times are Unix seconds.

    Attributes:
        signed_in: Who, with rights to change things only while the proof is fresh.
        person: The same with the rights it has right after a proof: what a page may offer.
        proven_until: Until when trust can be changed.
    """

    id: str
    signed_in: SignedIn
    person: SignedIn
    how: str
    proven_until: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a list shows of a session."""

    id: str
    how: str
    created_at: int
    seen_at: int
    expires_at: int
    address: str | None
    user_agent: str | None


def start(
    change: Change,
    principal: Principal,
    *,
    how: str,
    address: str | None,
    user_agent: str | None,
    proven_at: int | None = None,
) -> tuple[Secret, str]:
    """Start a session; return its cookie and its id.

    Args:
        change: The transaction.
        principal: Whose.
        how: It was proven, `code` or `oidc`.
        address: Of the browser.
        user_agent: Of the browser.
        proven_at: When, in Unix seconds; `None`: just now.
    """
    table = tables.web_session
    old = select(table.c.id).where(table.c.expires_at <= change.at).limit(_PURGE_ROWS)
    change.connection.execute(delete(table).where(table.c.id.in_(old)))
    kept = select(table.c.id).where(table.c.principal_id == principal.id).order_by(table.c.created_at.desc())
    surplus = [row.id for row in change.connection.execute(kept.offset(MAX_SESSIONS - 1)).all()]
    if surplus:
        change.connection.execute(delete(table).where(table.c.id.in_(surplus)))
    cookie = Secret(secrets.token_urlsafe(32))
    session_id = f"ses_{secrets.token_hex(10)}"
    change.connection.execute(
        insert(table).values(
            id=session_id,
            principal_id=principal.id,
            secret_hash=_digest(cookie.reveal()),
            how=how,
            created_at=change.at,
            proven_at=change.at if proven_at is None else min(proven_at, change.at),
            seen_at=change.at,
            expires_at=change.at + SESSION_SECONDS,
            address=address,
            user_agent=user_agent,
        )
    )
    change.note(EventKind.LOGIN_STARTED, principal=principal.name, login=session_id, by=how, access="pages")
    return cookie, session_id


def look_up(connection: Connection, cookie: str, *, now: int) -> tuple[WebSession, bool] | None:
    """Return the session of a cookie if it is good now, and whether its `seen_at` is worth writing anew."""
    if not _COOKIE.fullmatch(cookie):
        return None
    session, principal = tables.web_session, tables.principal
    query = (
        select(principal, *(column.label(f"session_{column.name}") for column in session.c))
        .join(session, session.c.principal_id == principal.c.id)
        .where(session.c.secret_hash == _digest(cookie))
    )
    row = connection.execute(query).first()
    if row is None or row.session_expires_at <= now or row.session_seen_at + IDLE_SECONDS <= now:
        return None
    found = principals.make(connection, row)
    if not found.enabled or found.kind is not PrincipalKind.PERSON:  # T99
        return None
    proven_until = row.session_proven_at + LOGIN_SECONDS
    fresh = SignedIn(found, row.session_id, row.session_expires_at, read_only=False)
    stale = SignedIn(found, row.session_id, row.session_expires_at, read_only=now >= proven_until)
    made = WebSession(row.session_id, stale, fresh, row.session_how, proven_until, row.session_expires_at)
    return made, row.session_seen_at + SEEN_SECONDS <= now


def touch(change: Change, session_id: str) -> None:
    """Write down that a session is in use."""
    table = tables.web_session
    change.connection.execute(update(table).where(table.c.id == session_id).values(seen_at=change.at))


def page(connection: Connection, principal_id: str, *, now: int) -> list[SessionRecord]:
    """Return the sessions of a person that are good now, the newest first."""
    table = tables.web_session
    query = select(table).where(table.c.principal_id == principal_id, table.c.expires_at > now)
    rows = connection.execute(query.order_by(table.c.created_at.desc()).limit(MAX_SESSIONS)).all()
    return [
        SessionRecord(r.id, r.how, r.created_at, r.seen_at, r.expires_at, r.address, r.user_agent)
        for r in rows
        if r.seen_at + IDLE_SECONDS > now
    ]


def end(change: Change, session_id: str, *, principal: Principal) -> bool:
    """End a session of this person at once; false when it has none of that id."""
    table = tables.web_session
    query = delete(table).where(table.c.id == session_id, table.c.principal_id == principal.id)
    if change.connection.execute(query).rowcount != 1:
        return False
    change.note(EventKind.LOGIN_ENDED, principal=principal.name, login=session_id)
    return True


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("ascii")).digest()  # 256 random bits: nothing slower is needed
