"""How many refusals are worth a row: an outsider with a genuine token must not fill the disk (D15, T108)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60
ROWS_PER_IDENTITY: Final = 20  # in a window; a person who tries things stays below
ROWS_IN_ALL: Final = 1200  # in a window; about 10 MiB a day at the most
MAX_IDENTITIES: Final = 10_000


class RefusalBudget:
    """Allow each identity, and all together, a number of audit rows for refusals in a window.

    What goes over is counted in `dropped`. Used from one event loop; not thread-safe.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._window = 0
        self._spent: OrderedDict[str, int] = OrderedDict()
        self._spent_in_all = 0
        self.dropped = 0

    def spend(self, identity: str) -> bool:
        """Tell whether this refusal still gets a row."""
        window = int(self._clock() // WINDOW_SECONDS)
        if window != self._window:
            self._window, self._spent_in_all = window, 0
            self._spent.clear()
        spent = self._spent.get(identity, 0)
        full = len(self._spent) >= MAX_IDENTITIES and identity not in self._spent
        if spent >= ROWS_PER_IDENTITY or self._spent_in_all >= ROWS_IN_ALL or full:
            self.dropped += 1
            return False
        self._spent[identity] = spent + 1
        self._spent_in_all += 1
        return True
