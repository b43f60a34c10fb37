"""Which keys an issuer had when it was last asked, so that a key set swapped whole is noticed across restarts (T37)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from keyless.server.audit.chain import INSERT_EVENT, Chain
from keyless.server.audit.event import AuditEvent, EventKind, event_data
from keyless.server.store.connection import Connection, Cursor


def read_seen(connection: Connection | Cursor, issuer_id: int) -> dict[str, str] | None:
    """Return thumbprint -> key id of the last set that was fetched, or `None` when none was."""
    row = connection.execute("SELECT seen_keys FROM issuer WHERE id = ?", (issuer_id,)).fetchone()
    if row is None or row[0] is None:
        return None
    return {str(thumbprint): str(kid) for thumbprint, kid in json.loads(row[0]).items()}


def write_seen(
    cursor: Cursor, chain: Chain, issuer_id: int, seen: Mapping[str, str], *, at: int, actor: str
) -> frozenset[str] | None:
    """Keep an issuer's keys as they were just fetched, within the caller's transaction.

    Compared by the keys themselves: whoever takes a host over can copy the ids.

    Returns:
        The old key ids when none of the old keys is left, else `None`.
    """
    before = read_seen(cursor, issuer_id)
    if before == seen:
        return None
    cursor.execute(
        "UPDATE issuer SET seen_keys = ? WHERE id = ? AND COALESCE(seen_keys, '') = ?",
        (_written(seen), issuer_id, "" if before is None else _written(before)),
    )
    if cursor.rowcount != 1:  # another replica was first, and has told of it
        return None
    replaced = bool(before) and before is not None and not before.keys() & seen.keys()
    event = AuditEvent(
        at=at,
        kind=(EventKind.ISSUER_KEYS_REPLACED if replaced else EventKind.ISSUER_KEYS_CHANGED).value,
        actor=actor,
        issuer_id=issuer_id,
        data=event_data(before=sorted((before or {}).values()), after=sorted(seen.values())),
    )
    cursor.execute(INSERT_EVENT, chain.link(event))
    return frozenset(before.values()) if replaced and before is not None else None


def _written(seen: Mapping[str, str]) -> str:
    return json.dumps(dict(seen), separators=(",", ":"), sort_keys=True)
