"""A clock that stands still until it is moved. Pure."""

from __future__ import annotations

import time
from typing import Final

# 2026-11-22 12:00:00 UTC: a fixed instant, so that a failure shows the same numbers on every run.
NOON: Final = 1_795_348_800.0


class Clock:
    """Give the time, in seconds since 1970, wherever the code under test takes a `Callable[[], float]`.

    Args:
        now: Where the clock stands at first; `None` for the system's time at this moment.

    Example:
        >>> clock = Clock(1000.0)
        >>> clock.advance(60)
        >>> clock()
        1060.0
    """

    def __init__(self, now: float | None = NOON) -> None:
        self._now = time.time() if now is None else now

    def __call__(self) -> float:
        """Return the time the clock stands at."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward, or back with a negative number."""
        self._now += seconds

    def set(self, now: float) -> None:
        """Put the clock at an instant."""
        self._now = now
