"""A bound on failed attempts to sign in, for each address and for all together. Pure, in memory.

What is guessed at has 100 random bits and more; this keeps a flood of guesses from costing anything, and makes it seen.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from keyless.errors import RateLimitedError

WINDOW_SECONDS: Final = 60
FAILURES_PER_ADDRESS: Final = 10
FAILURES_OF_ALL: Final = 300
_NOBODY: Final = "unknown"


class FailedAttempts:
    """Count failures in a window of a minute. Thread-safe.

    Args:
        clock: Unix seconds.
        per_address: How many of one address.
    """

    def __init__(self, *, clock: Callable[[], float], per_address: int = FAILURES_PER_ADDRESS) -> None:
        self._clock = clock
        self._per_address = per_address
        self._lock = threading.Lock()
        self._window = 0
        self._failures: Counter[str] = Counter()  # bounded by FAILURES_OF_ALL
        self._all = 0

    def check(self, address: str | None) -> None:
        """Refuse an attempt before anything is compared.

        Raises:
            RateLimitedError: Too many failed; `retry_after` is the rest of the window.
        """
        with self._lock:
            now = self._turn()
            if self._failures[group_of(address)] < self._per_address and self._all < FAILURES_OF_ALL:
                return
        raise RateLimitedError(
            f"too many failed attempts; {self._per_address} a minute are allowed",
            retry_after=(self._window + 1) * WINDOW_SECONDS - now,
        )

    def failed(self, address: str | None) -> None:
        """Count a failure."""
        with self._lock:
            self._turn()
            if self._all < FAILURES_OF_ALL:
                self._failures[group_of(address)] += 1
                self._all += 1

    def _turn(self) -> float:
        now = self._clock()
        if (window := int(now // WINDOW_SECONDS)) != self._window:
            self._window = window
            self._failures.clear()
            self._all = 0
        return now


class Allowance:
    """Allow each principal so many of something in a minute. Thread-safe; bounded by the number of principals.

    Args:
        each: How many.
        clock: Unix seconds.
    """

    def __init__(self, each: int, *, clock: Callable[[], float]) -> None:
        self._each = each
        self._clock = clock
        self._lock = threading.Lock()
        self._window = 0
        self._spent: Counter[str] = Counter()

    def spend(self, principal_id: str) -> bool:
        """Count one; false when it is one too many."""
        with self._lock:
            if (window := int(self._clock() // WINDOW_SECONDS)) != self._window:
                self._window = window
                self._spent.clear()
            self._spent[principal_id] += 1
            return self._spent[principal_id] <= self._each


def group_of(address: str | None) -> str:
    """Return what attempts are counted by: the address, or the /64 network of one of IPv6."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return _NOBODY
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
