"""The rows of our own signing keys (D21): one list, changed inside the caller's transaction."""

from __future__ import annotations

from typing import Final

from keyless.server.audit.chain import INSERT_EVENT, Chain
from keyless.server.audit.event import AuditEvent, EventKind
from keyless.server.store.connection import Connection, Cursor
from keyless.server.store.pinning import BUMP_TRUST
from keyless.server.store.records import DISTRUSTED_AT, SigningKeyRow

_COLUMNS: Final = (
    "kid, purpose, algorithm, state, public_jwk, nonce, encrypted_private, created_at, activated_at, retired_at"
)
_INSERT: Final = f"INSERT INTO signing_key ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_ACTIVATE: Final = """
UPDATE signing_key SET state = 'active', activated_at = ? WHERE kid = ? AND state = 'pending' RETURNING purpose
"""
_RETIRE: Final = "UPDATE signing_key SET state = 'retired', retired_at = ? WHERE kid = ? AND state = 'pending'"
_RETIRE_OTHERS: Final = """
UPDATE signing_key SET state = 'retired', retired_at = ? WHERE purpose = ? AND state = 'active' AND kid <> ?
RETURNING kid
"""


def read(connection: Connection, purpose: str) -> tuple[SigningKeyRow, ...]:
    """Return the rows of one purpose, oldest first."""
    query = f"SELECT {_COLUMNS} FROM signing_key WHERE purpose = ? ORDER BY created_at, kid"  # noqa: S608 - constants
    return tuple(SigningKeyRow(*row) for row in connection.execute(query, (purpose,)).fetchall())


def add(cursor: Cursor, chain: Chain, row: SigningKeyRow, *, actor: str) -> bool:
    """Add a key; false when its purpose has one in that state already, made by another process meanwhile."""
    other = "SELECT 1 FROM signing_key WHERE purpose = ? AND state = ?"
    if cursor.execute(other, (row.purpose, row.state)).fetchone():
        return False
    values = (row.kid, row.purpose, row.algorithm, row.state, row.public_jwk, row.nonce, row.encrypted_private)
    cursor.execute(_INSERT, (*values, row.created_at, row.activated_at, row.retired_at))
    _note(cursor, chain, EventKind.KEY_ADDED, row.kid, at=row.created_at, actor=actor)
    return True


def activate(cursor: Cursor, chain: Chain, kid: str, *, at: int, actor: str) -> bool:
    """Let a pending key sign and retire the one that did; false when it is not pending (any more)."""
    found = cursor.execute(_ACTIVATE, (at, kid)).fetchone()
    if found is None:
        return False
    retired = cursor.execute(_RETIRE_OTHERS, (at, found[0], kid)).fetchall()
    _note(cursor, chain, EventKind.KEY_ACTIVATED, kid, at=at, actor=actor)
    for (old,) in retired:
        _note(cursor, chain, EventKind.KEY_RETIRED, old, at=at, actor=actor)
    return True


def retire(cursor: Cursor, chain: Chain, kid: str, *, at: int, actor: str) -> bool:
    """Retire a key that does not sign; false when it signs, is retired already or is unknown."""
    cursor.execute(_RETIRE, (at, kid))
    if cursor.rowcount != 1:
        return False
    _note(cursor, chain, EventKind.KEY_RETIRED, kid, at=at, actor=actor)
    return True


def distrust(cursor: Cursor, chain: Chain, kid: str, *, at: int, actor: str) -> bool:
    """Never publish a key again, so that whatever it signed is worth nothing; false when it signs or is unknown."""
    # In two steps, so that the state changes in any case: that is what resource servers are told (migration 0006).
    cursor.execute("UPDATE signing_key SET state = 'pending' WHERE kid = ? AND state <> 'active'", (kid,))
    if cursor.rowcount != 1:
        return False
    cursor.execute(_RETIRE, (DISTRUSTED_AT, kid))
    _note(cursor, chain, EventKind.KEY_DISTRUSTED, kid, at=at, actor=actor)
    return True


def _note(cursor: Cursor, chain: Chain, kind: EventKind, kid: str, *, at: int, actor: str) -> None:
    cursor.execute(BUMP_TRUST)
    cursor.execute(INSERT_EVENT, chain.link(AuditEvent(at=at, kind=kind.value, actor=actor, reason=kid)))
