"""Attempts to sign in at an identity provider, until the browser comes back: each counts once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, insert, select

from keyless.errors import RateLimitedError
from keyless.server.people.attempt_at_provider import ATTEMPT_SECONDS, Attempt
from keyless.server.store import tables
from keyless.server.store.admin.change import Change

MAX_AWAITED: Final = 2_000  # at once; nobody has to be known to begin one
_PURGE_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class Awaited:
    """Say what an attempt was begun for.

    Attributes:
        principal_id: Who is to prove itself again; `None`: whoever it is.
        after: The page to go on with.
        begun_at: Unix seconds.
    """

    principal_id: str | None
    after: str
    begun_at: int


def begin(change: Change, attempt: Attempt, *, principal_id: str | None, after: str) -> None:
    """Write down that an answer is awaited.

    Raises:
        RateLimitedError: Too many are.
    """
    table = tables.web_sign_in
    old = select(table.c.secret_hash).where(table.c.expires_at <= change.at).limit(_PURGE_ROWS)
    change.connection.execute(delete(table).where(table.c.secret_hash.in_(old)))
    awaited = select(func.count()).select_from(table).where(table.c.expires_at > change.at)
    if int(change.connection.execute(awaited).scalar_one()) >= MAX_AWAITED:
        raise RateLimitedError("too many people are signing in right now", retry_after=60)
    change.connection.execute(
        insert(table).values(
            secret_hash=attempt.digest,
            principal_id=principal_id,
            after=after,
            created_at=change.at,
            expires_at=change.at + ATTEMPT_SECONDS,
        )
    )


def take(change: Change, attempt: Attempt) -> Awaited | None:
    """Return what an attempt was begun for and forget it; `None` when none is awaited, or not any more."""
    table = tables.web_sign_in
    row = change.connection.execute(select(table).where(table.c.secret_hash == attempt.digest)).first()
    if row is None:
        return None
    taken = change.connection.execute(delete(table).where(table.c.secret_hash == attempt.digest)).rowcount == 1
    if not taken or row.expires_at <= change.at:
        return None
    return Awaited(row.principal_id, row.after, row.created_at)
