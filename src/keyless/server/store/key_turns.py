"""Whose turn it is to fetch an issuer's keys, and what came of it, for all replicas of one database (K03).

A turn is a row: taken by whoever writes its own start into it, over when the keys are in it. What a failed fetch leaves
is free at once, for the next replica may have a better way to the issuer. Times are milliseconds of Unix time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from keyless.oidc.issuer import Issuer
from keyless.oidc.shared_keys import FetchedKeys
from keyless.server.store.audit_keeping import Writing
from keyless.server.store.connection import Connection

POLL_SECONDS: Final = 0.1

_READ: Final = "SELECT began_ms, source, jwks, jwks_uri, max_age_seconds FROM key_turn WHERE issuer_id = ?"
_FIRST: Final = """
INSERT INTO key_turn (issuer_id, began_ms, source) VALUES (?, ?, ?) ON CONFLICT (issuer_id) DO NOTHING
"""
_NEXT: Final = """
UPDATE key_turn SET began_ms = ?, source = ?, jwks = NULL, jwks_uri = NULL, max_age_seconds = NULL
WHERE issuer_id = ? AND began_ms = ?
"""
_KEEP: Final = """
UPDATE key_turn SET jwks = ?, jwks_uri = ?, max_age_seconds = ? WHERE issuer_id = ? AND began_ms = ?
"""
_FREE: Final = "UPDATE key_turn SET began_ms = 0 WHERE issuer_id = ? AND began_ms = ?"


class StoredKeyTurns:
    """Agree over a database. Thread-safe: one process takes one turn of an issuer at a time.

    Args:
        clock: Unix seconds; replicas' clocks agree within the leeway.
        reading: Gives a connection.
        writing: Opens a transaction.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        reading: Callable[[], AbstractContextManager[Connection]],
        writing: Writing,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._reading = reading
        self._writing = writing
        self._sleep = sleep
        # Both bounded by the issuers on record: when the open turn began, and the last one that was over.
        self._mine: dict[int, int] = {}
        self._over: dict[int, int] = {}

    def take_turn(self, issuer: Issuer, *, every_seconds: float, wait_seconds: float) -> FetchedKeys | None:
        """Return what another replica fetched so short ago, waiting for it while it does; `None`: fetch yourself."""
        source = _source(issuer)
        waited = 0.0
        while True:
            with self._reading() as connection:
                row = connection.execute(_READ, (issuer.id,)).fetchone()
            now = int(self._clock() * 1000)
            # What we fetched ourselves is no news: whoever asks again has waited out the cool-down since.
            if row is not None and row[1] == source and row[0] != self._over.get(issuer.id):
                age = (now - int(row[0])) / 1000
                # A clock that is ahead of ours by more than clocks may be makes a turn that nobody can wait for.
                if row[2] is not None and -every_seconds < age < every_seconds:
                    return FetchedKeys(bytes(row[2]), str(row[3]), row[4], max(0.0, age))
                if row[2] is None and -wait_seconds < age < wait_seconds and waited < wait_seconds:
                    self._sleep(POLL_SECONDS)
                    waited += POLL_SECONDS
                    continue
            with self._writing(alone=False) as cursor:
                if row is None:
                    cursor.execute(_FIRST, (issuer.id, now, source))
                else:
                    cursor.execute(_NEXT, (now, source, issuer.id, row[0]))
                taken = cursor.rowcount == 1
            if taken:
                self._mine[issuer.id] = now
                return None

    def end_turn(self, issuer: Issuer, found: FetchedKeys | None) -> None:
        """Hand over what was fetched; with `None` let another one try."""
        if (began := self._mine.pop(issuer.id, None)) is None:
            return
        self._over[issuer.id] = began
        with self._writing(alone=False) as cursor:
            if found is None:
                cursor.execute(_FREE, (issuer.id, began))
            else:
                values = (found.jwks, found.jwks_uri, found.max_age_seconds)
                cursor.execute(_KEEP, (*values, issuer.id, began))


def _source(issuer: Issuer) -> str:
    """Return what a fetch depends on: keys from elsewhere, or older than an operator wants them, are no use."""
    return f"{issuer.key_refreshes} {issuer.url} {issuer.jwks_uri or ''} {issuer.network}"
