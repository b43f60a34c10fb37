"""How many refusals are worth a row: an outsider with a genuine token must not fill the disk (D15, T108)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60
ROWS_PER_IDENTITY: Final = 20  # in a window; a person who tries things stays below
ROWS_PER_ISSUER: Final = 600  # in a window, so that one hostile issuer's tenants cannot use up everybody's rows
ROWS_IN_ALL: Final = 1200  # in a window: some 1.7 million rows a day at the very worst, and no identity above twenty


class RefusalBudget:
    """Allow each identity, and all together, a number of audit rows for refusals in a window.

    What goes over is counted in `dropped`. Used from one event loop; not thread-safe.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._window = 0
        self._spent: dict[tuple[int, str], int] = {}  # at most ROWS_IN_ALL entries: only who got a row is in it
        self._spent_by_issuer: dict[int, int] = {}
        self._spent_in_all = 0
        self.dropped = 0

    def spend(self, issuer_id: int, identity: str) -> bool:
        """Tell whether this refusal of an issuer's identity still gets a row."""
        if self.reserve(issuer_id, identity) is None:
            self.dropped += 1
            return False
        return True

    def give_back(self, issuer_id: int, identity: str, window: int) -> None:
        """Take back what was reserved for a refusal that was none."""
        if window == self._window:
            whose = (issuer_id, identity)
            self._spent_in_all -= 1
            self._spent_by_issuer[issuer_id] -= 1
            if self._spent[whose] == 1:
                del self._spent[whose]
            else:
                self._spent[whose] -= 1

    def reserve(self, issuer_id: int, identity: str, *, now: float | None = None) -> int | None:
        """Reserve a row for what may become a refusal; return what `give_back` wants, or `None` when none is left.

        Args:
            issuer_id: The issuer.
            identity: One of its identities.
            now: Unix seconds, from whoever has just looked.
        """
        window = int((self._clock() if now is None else now) // WINDOW_SECONDS)
        if window != self._window:
            self._window = window
            self._spent.clear()
            self._spent_by_issuer.clear()
            self._spent_in_all = 0
        whose = (issuer_id, identity)
        spent, by_issuer = self._spent.get(whose, 0), self._spent_by_issuer.get(issuer_id, 0)
        if spent >= ROWS_PER_IDENTITY or by_issuer >= ROWS_PER_ISSUER or self._spent_in_all >= ROWS_IN_ALL:
            return None
        self._spent[whose] = spent + 1
        self._spent_by_issuer[issuer_id] = by_issuer + 1
        self._spent_in_all += 1
        return window
