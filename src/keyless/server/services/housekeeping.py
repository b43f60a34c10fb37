"""What must be done now and then and that no caller should wait for.

The write-ahead log is copied back aside, so that no exchange meets an automatic checkpoint inside its commit; claims
and tokens whose time is over are deleted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from keyless.errors import UnavailableError

CHECKPOINT_SECONDS: Final = 1.0
PURGE_EVERY: Final = 60  # checkpoints

_log = logging.getLogger("keyless.server")


class Housekeeping:
    """Run `checkpoint` every second and `purge` every minute on a thread of their own, until `close`."""

    def __init__(self, *, checkpoint: Callable[[], object], purge: Callable[[], object]) -> None:
        self._checkpoint = checkpoint
        self._purge = purge
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keyless-housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the work at hand."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rounds = 0
        while not self._stop.wait(CHECKPOINT_SECONDS):
            rounds += 1
            try:
                self._checkpoint()
                if rounds % PURGE_EVERY == 0:
                    self._purge()
            except UnavailableError as error:
                _log.warning("housekeeping has to wait: %s", error)
            except Exception:  # noqa: BLE001 - the next round may work; an exchange never depends on this one
                _log.exception("housekeeping failed")
