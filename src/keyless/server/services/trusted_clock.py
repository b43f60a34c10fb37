"""A clock that says nothing when it is known to be wrong (D9, V11).

Replicas answer for one another, so they have to agree on the time: one whose clock is off would refuse good tokens as
too old or not good yet, and forget claims on id tokens that are still good elsewhere. It answers 503 instead.
"""

from __future__ import annotations

from collections.abc import Callable

from keyless.errors import UnavailableError


class TrustedClock:
    """Return Unix seconds as long as this machine's clock agrees with the database's.

    Args:
        clock: Unix seconds.
        skew_seconds: By how much this machine's clock is ahead of the database's, or `None` when that is not known.
        max_skew_seconds: The difference that id tokens are forgiven, too.
    """

    def __init__(
        self, clock: Callable[[], float], *, skew_seconds: Callable[[], float | None], max_skew_seconds: float
    ) -> None:
        self._clock = clock
        self._skew_seconds = skew_seconds
        self._max_skew_seconds = max_skew_seconds

    def __call__(self) -> float:
        """Return Unix seconds.

        Raises:
            UnavailableError: The clock is known to be off.
        """
        if not self.agrees():
            raise UnavailableError("this replica's clock differs from the database's", retry_after=5)
        return self._clock()

    def agrees(self) -> bool:
        """Tell whether nothing is known against the clock; for readiness."""
        skew = self._skew_seconds()
        return skew is None or abs(skew) <= self._max_skew_seconds
