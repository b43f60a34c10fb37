"""An application that is made when it is first asked for something."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from keyless.server.doors.http import Door, Receive, Scope, Send


class LateDoor:
    """Make an application at its first request, aside, and pass every request on to it.

    The management API stands on packages that take longer to load than the whole exchange; a service that nobody
    manages over HTTP starts without them, and no exchange waits while they load.

    Args:
        make: Makes the application.
    """

    def __init__(self, make: Callable[[], Door]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._door: Door | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        door = self._door if self._door is not None else await asyncio.to_thread(self._made)
        await door(scope, receive, send)

    def _made(self) -> Door:
        with self._lock:
            if self._door is None:
                self._door = self._make()
            return self._door
