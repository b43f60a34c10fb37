"""Pinning a publisher at its first use: all its open ids at once, or none (D10, M03)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyless.server.store.connection import Cursor
from keyless.server.store.grants import Grant
from keyless.trust.publisher import PinSource

_OPEN_PINS: Final = "SELECT claim, lapses_at FROM pin WHERE publisher_id = ? AND value IS NULL"
_PIN: Final = """
UPDATE pin SET value = ?, source = ?, pinned_at = ?, lapses_at = NULL
WHERE publisher_id = ? AND claim = ? AND value IS NULL
"""
_NEXT_VERSION: Final = "UPDATE publisher SET version = version + 1 WHERE id = ? AND version = ?"
BUMP_TRUST: Final = "UPDATE meta SET value = value + 1 WHERE key = 'trust_version'"


@dataclass(frozen=True, slots=True)
class Pinned:
    """Remember what was pinned earlier in the same batch."""

    matched_version: int
    version: int
    values: Mapping[str, str]

    def accepts(self, grant: Grant) -> bool:
        """Tell whether a grant matched the publisher as it was before, and brings the very ids that were pinned."""
        return grant.publisher_version == self.matched_version and dict(grant.first_use_pins) == dict(self.values)


def pin_first_use(cursor: Cursor, grant: Grant) -> Pinned | None:
    """Pin the publisher's open ids to those of the grant, within the caller's transaction.

    The publisher's version grows, so that whoever matched it unpinned has to match again.

    Returns:
        What was pinned, or `None` when the publisher no longer waits for exactly these ids; the caller rolls back.
    """
    waiting = dict(cursor.execute(_OPEN_PINS, (grant.publisher_id,)).fetchall())
    if waiting.keys() != grant.first_use_pins.keys():
        return None
    if any(lapses_at is not None and lapses_at <= grant.issued_at for lapses_at in waiting.values()):
        return None
    for claim, value in grant.first_use_pins.items():
        cursor.execute(_PIN, (value, PinSource.FIRST_USE.value, grant.issued_at, grant.publisher_id, claim))
    cursor.execute(_NEXT_VERSION, (grant.publisher_id, grant.publisher_version))
    if cursor.rowcount != 1:
        return None
    cursor.execute(BUMP_TRUST)
    return Pinned(grant.publisher_version, grant.publisher_version + 1, dict(grant.first_use_pins))
