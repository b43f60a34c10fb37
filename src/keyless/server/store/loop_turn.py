"""What is asked many times in one turn of the event loop and cannot have another answer in it (D17)."""

from __future__ import annotations

import asyncio


class LoopTurn:
    """Remember for the rest of an event loop's turn that something was looked up in it.

    A request is read from its socket between two turns, and what is scheduled first runs first. So when a turn's first
    question saw everything committed until then, the others need not ask again: their requests were received before.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def lasts(self) -> bool:
        """Tell whether `begin` was called in this turn of the running loop; false where none runs."""
        loop = asyncio._get_running_loop()
        return loop is not None and loop is self._loop

    def begin(self) -> None:
        """Remember until the turn ends."""
        loop = asyncio._get_running_loop()
        if loop is not None:
            self._loop = loop
            loop.call_soon(self._end)

    def _end(self) -> None:
        self._loop = None
