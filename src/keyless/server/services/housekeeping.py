"""What must be done now and then and that no caller should wait for.

The write-ahead log is copied back aside, so that no exchange meets an automatic checkpoint inside its commit; the audit
is sealed; claims, tokens and publishers whose time is over are put away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from keyless.errors import UnavailableError

ROUND_SECONDS: Final = 1.0

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
            for every, job in self._jobs:
                if rounds % every == 0:
                    _do(job)


def _do(job: Job) -> None:
    try:
        job()
    except UnavailableError as error:
        _log.warning("housekeeping has to wait: %s", error)
    except Exception:  # noqa: BLE001 - the next round may work; an exchange never depends on this one
        _log.exception("housekeeping failed")
