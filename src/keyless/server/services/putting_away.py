"""Putting away what is old: publishers nobody uses, addresses, checkpoints, audit events (D15, T92, T93)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from keyless.jose.signing import SigningKey
from keyless.server.settings import Settings
from keyless.server.store import Store

DAY_SECONDS: Final = 24 * 3600
CHECKPOINT_DAYS: Final = 7  # in the database, for whoever has no other copy

_log = logging.getLogger("keyless.server")


class PuttingAway:
    """Do what the settings say about old things. Used by one thread.

    Args:
        store: Where they are.
        settings: How old they may become.
        key: Signs the anchors of pruned chains; without it nothing is pruned.
        clock: Unix seconds; raises when it cannot be trusted, for a wrong one would forget claims too early.
    """

    def __init__(
        self, store: Store, settings: Settings, key: SigningKey | None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._settings = settings
        self._key = key
        self._clock = clock

    def often(self) -> None:
        """Put away what is cheap to find. Once a minute."""
        self._store.measure_clock()
        self._clock()
        self._store.purge()
        self._store.upkeep.remove_lapsed()
        self._store.audit.forget_contacts(before=self._ago(self._settings.audit_contact_days))

    def seldom(self) -> None:
        """Put away what takes longer to find. Every ten minutes."""
        self._store.audit.forget_checkpoints(before=self._ago(CHECKPOINT_DAYS))
        if days := self._settings.pause_unused_days:
            for publisher_id in self._store.upkeep.pause_unused(before=self._ago(days)):
                _log.warning("publisher %s is paused: nobody used it for %d days", publisher_id, days)
        if (days := self._settings.audit_retention_days) and self._key is not None:
            self._store.audit.prune(self._key, before=self._ago(days), actor="serve")

    def _ago(self, days: int) -> int:
        return int(self._clock()) - days * DAY_SECONDS
