"""How many fetches all issuers together may cause in a minute (S07). Pure: the time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 60.0


class FetchBudget:
    """Count the fetches of the last minute.

    Fetches that a stranger can cause by naming an issuer or an invented key get half of the budget at most. The other
    half is for refreshing what is held: otherwise a flood could keep withdrawn keys alive.

    Not safe to share between threads without a lock.

    Args:
        per_minute: Fetches in any 60 seconds, at least 2.
    """

    def __init__(self, per_minute: int) -> None:
        if per_minute < 2:
            raise ValueError("a fetch budget is at least 2 per minute")
        self._limit_all = per_minute
        self._limit_forced = per_minute // 2
        self._all: deque[float] = deque()
        self._forced: deque[float] = deque()

    def take(self, now: float, *, forced: bool) -> float:
        """Take one fetch.

        Args:
            now: Monotonic seconds.
            forced: True for a fetch that a stranger can cause.

        Returns:
            0 when it was taken, else the seconds until there is one again.
        """
        for started in (self._all, self._forced):
            while started and now - started[0] >= WINDOW_SECONDS:
                started.popleft()
        waits = [WINDOW_SECONDS - (now - self._all[0])] if len(self._all) >= self._limit_all else []
        if forced and len(self._forced) >= self._limit_forced:
            waits.append(WINDOW_SECONDS - (now - self._forced[0]))
        if waits:
            return max(waits)
        self._all.append(now)
        if forced:
            self._forced.append(now)
        return 0.0
