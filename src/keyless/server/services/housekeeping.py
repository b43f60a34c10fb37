"""What must be done now and then and that no caller should wait for.

The write-ahead log is copied back aside, so that no exchange meets an automatic checkpoint inside its commit; the audit
is sealed; claims, tokens and publishers whose time is over are put away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from keyless.errors import UnavailableError

ROUND_SECONDS: Final = 1.0
SAY_AGAIN_SECONDS: Final = 60.0  # between two lines about a job that goes on failing

_log = logging.getLogger("keyless.server")

Job = Callable[[], object]


class Housekeeping:
    """Do jobs on a thread of their own, until `close`.

    Args:
        jobs: Every how many rounds, and what; what fails is tried again at its next turn.
        round_seconds: From one round to the next.
    """

    def __init__(self, jobs: Sequence[tuple[int, Job]], *, round_seconds: float = ROUND_SECONDS) -> None:
        self._jobs = tuple(jobs)
        self._round_seconds = round_seconds
        self._quiet_until: dict[Job, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keyless-housekeeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the work at hand."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rounds = 0
        while not self._stop.wait(self._round_seconds):
            rounds += 1
            for job in [job for every, job in self._jobs if rounds % every == 0]:
                try:
                    job()
                    self._quiet_until.pop(job, None)
                except Exception as error:  # noqa: BLE001 - the next round may work; no exchange depends on this one
                    self._tell(job, error)

    def _tell(self, job: Job, error: Exception) -> None:
        """Say that a job failed; not at every turn, for a full disk stays full for hours."""
        now = time.monotonic()
        if now < self._quiet_until.get(job, now):
            return
        self._quiet_until[job] = now + SAY_AGAIN_SECONDS
        if isinstance(error, UnavailableError):
            _log.warning("housekeeping has to wait: %s", error)
        else:
            _log.error("housekeeping failed", exc_info=error)
