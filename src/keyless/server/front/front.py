"""What the connections of one listener share: the short way, its order, the clock of their time limits (D17)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from keyless.server.doors.client_address import ClientAddresses
from keyless.server.doors.http import HttpAnswer
from keyless.server.front.connection import Connection
from keyless.server.front.requests import ShortRequest
from keyless.server.front.wire import Heads
from keyless.server.metrics import Metrics
from keyless.server.services.trail import Caller

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

# Admission by time waited (D17): what one turn of the event loop reads, it begins in order; whoever's turn comes later
# than this would only make everybody after him wait longer still. A few requests are never a crowd, however slow the
# machine is at the moment. And a crowd that comes once - the jobs of one matrix - is served: nobody is shed before
# turns have been late for a while, without a second of calm between.
MAX_WAIT_SECONDS: Final = 0.02
MIN_CROWD: Final = 96
BURST_SECONDS: Final = 0.25
CALM_SECONDS: Final = 1.0

TICK_SECONDS: Final = 1.0
_LATE_SECONDS: Final = 5.0  # a tick so late means that this process slept, not that its callers did

_log = logging.getLogger("keyless.server")


class ShortWay(Protocol):
    """An endpoint that takes whole requests, without ASGI between."""

    addresses: ClientAddresses
    metrics: Metrics
    traced: bool

    def begin(self, content_type: str, body: bytes, caller: Caller, reply: Callable[[HttpAnswer], None]) -> None:
        """Begin to answer; `reply` is called once, now or later on this event loop. Never raises."""

    def refusal(self, error: Exception, caller: Caller) -> HttpAnswer:
        """Return the answer of an error."""

    def shed(self, caller: Caller) -> HttpAnswer:
        """Return the answer of who waited too long."""


class Front:
    """Make the connections of one listener; stands where uvicorn expects a protocol class.

    Args:
        short: Serves POST requests to `path`; every request goes to the ASGI application when `None`.
        path: As it stands in the request line.
        max_body_bytes: Of a request on the short way.
    """

    def __init__(self, short: ShortWay | None = None, path: str = "", *, max_body_bytes: int = 64 * 1024) -> None:
        self.short = short
        self.max_body_bytes = max_body_bytes
        self.path = path.encode("ascii")
        self.heads = Heads()
        self.now = 0.0
        self.stops = False
        self.under_way = 0
        self._waiting: list[ShortRequest] = []
        self._late_since = self._late_at = float("-inf")
        self._connections: set[Connection] | None = None

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: Mapping[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        """Return the protocol of one new connection."""
        if not config.loaded:
            config.load()
        loop = _loop or asyncio.get_running_loop()
        if self._connections is None:
            # They are all of this class: we made them.
            self._connections = server_state.connections  # type: ignore[assignment]
            self.now = loop.time()
            loop.call_later(TICK_SECONDS, self._tick, loop)
        return Connection(self, config.loaded_app, server_state, app_state, loop)

    def stop(self) -> None:
        """Let each connection end with the next answer; the server asks each to `shutdown`."""
        self.stops = True

    def gather(self, request: ShortRequest, loop: asyncio.AbstractEventLoop) -> None:
        """Begin this request at the end of the loop's turn, with whatever else the turn reads, in order."""
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.append(request)
        self.under_way += 1

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            now = perf_counter()
            waited = now - request.since
            try:
                request.begin(waited, shed=waited > MAX_WAIT_SECONDS and self._is_crowded(now))
            except Exception:  # noqa: BLE001 - one request must not take the others of its turn with it
                _log.exception("a request could not be begun")
                request.abandon()

    def _is_crowded(self, now: float) -> bool:
        """Tell whether who is late now is one too many."""
        if now - self._late_at > CALM_SECONDS:
            self._late_since = now
        self._late_at = now
        return now - self._late_since > BURST_SECONDS and self.under_way > MIN_CROWD

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(TICK_SECONDS, self._tick, loop)
        self.look_after(loop.time())

    def look_after(self, now: float) -> None:
        """Look whose time is up, once a second: cheaper than a timer for each connection and request."""
        before, self.now = self.now, now
        if now - before > _LATE_SECONDS:
            return  # what was sent meanwhile lies in the sockets unread; nobody is blamed for it
        for connection in [c for c in self._connections or () if c.deadline < now]:
            connection.expire()
