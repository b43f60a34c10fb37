"""How often somebody may ask (T105): the generic cell rate algorithm, for a bounded number of callers. Pure.

Each caller has one number, the time at which he would have used up nothing of his allowance. A replica counts for
itself: three replicas allow up to three times the rate, which only has to keep one caller from crowding out the rest.
Reference: ITU-T I.371, annex A.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from keyless.errors import RateLimitedError

MAX_CALLERS: Final = 20_000  # some 4 MB; who has been quiet longest is forgotten first


class RateLimit:
    """Allow each caller `per_minute` requests, and up to `burst` of them at once. Not thread-safe.

    Args:
        per_minute: Sustained rate; 0 allows everything.
        burst: How many may come at once.
        max_callers: How many are remembered.
        monotonic: Clock in seconds.
    """

    def __init__(
        self,
        per_minute: int,
        burst: int,
        *,
        max_callers: int = MAX_CALLERS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._tolerance = self._interval * (max(1, burst) - 1)
        self._max_callers = max_callers
        self._monotonic = monotonic
        self._free_at: OrderedDict[Hashable, float] = OrderedDict()

    def spend(self, caller: Hashable) -> None:
        """Count one request of a caller.

        Raises:
            RateLimitedError: One too many; `retry_after` says in how many seconds the next is allowed. It is free.
        """
        if not self._interval:
            return
        now = self._monotonic()
        free_at = max(self._free_at.get(caller, now), now)
        if free_at - now > self._tolerance:
            raise RateLimitedError("too many requests", retry_after=free_at - now - self._tolerance)
        self._free_at[caller] = free_at + self._interval
        self._free_at.move_to_end(caller)
        if len(self._free_at) > self._max_callers:
            self._free_at.popitem(last=False)

    def __len__(self) -> int:
        """Return how many callers are remembered."""
        return len(self._free_at)
