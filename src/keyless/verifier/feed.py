"""The revocation feed, at a resource server: asked every few seconds, not for every token (D5).

No thread of its own: whoever checks a token while the news is older than `refresh_seconds` asks for more, one at a
time.
When the service is silent the last news still counts until it is `max_staleness` old; then nobody is let through.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

from keyless.errors import ConfigurationError, TransportError, UnavailableError
from keyless.secret import Secret
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.connections import Connections
from keyless.verifier.inside import DEFAULT_TIMEOUT_SECONDS, basic, read_members
from keyless.verifier.withdrawals import News, Subject, Withdrawals, read_news

MAX_STALENESS_SECONDS: Final = 60.0  # D5
REFRESH_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0  # between attempts while the last news still counts
MAX_PAGES: Final = 1_000
_MAX_CURSOR_CHARS: Final = 64
_WHAT: Final = "revocation feed"

_log: Final = logging.getLogger(__name__)


class _Held(NamedTuple):
    withdrawals: Withdrawals
    cursor: str
    asked_at: float  # monotonic; before the question, so that no news is taken for newer than it is
    asked_at_wall: float  # a machine that slept has a monotonic clock that did not


class Feed:
    """Follow the revocation feed of a token service. Safe to share between threads.

    Args:
        url: The endpoint, on the service's inside listener: `…/oauth/feed`.
        name: The resource server's name there.
        credential: Its credential.
        max_staleness: Seconds after which old news counts no more: a withdrawn token is accepted no longer than this.
        refresh_seconds: Age of news at which more is asked for; how late a revocation is seen while all is well.
        timeout_seconds: For one question, connecting included.
        monotonic: Clock in seconds.
        clock: Unix seconds.

    Raises:
        ConfigurationError: The URL or a time cannot be used.
    """

    def __init__(
        self,
        url: str,
        name: str,
        credential: Secret,
        *,
        max_staleness: float = MAX_STALENESS_SECONDS,
        refresh_seconds: float = REFRESH_SECONDS,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 0 <= refresh_seconds <= max_staleness <= 600:
            raise ConfigurationError("a feed needs 0 <= refresh_seconds <= max_staleness <= 600")
        self._connections: Final = Connections(url, _WHAT, timeout_seconds=timeout_seconds)
        self._authorization: Final = basic(name, credential)
        self._max_staleness: Final = max_staleness
        self._refresh_seconds: Final = refresh_seconds
        self._monotonic: Final = monotonic
        self._clock: Final = clock
        self._held: _Held | None = None  # replaced as a whole
        self._failed_at = float("-inf")
        self._lock = threading.Lock()
        self._process_id = os.getpid()

    def current(self) -> Withdrawals:
        """Return what is withdrawn, no older than allowed. The same object as before when nothing changed. May block.

        Raises:
            UnavailableError: The news is too old and there is no newer.
        """
        held = self._held
        if (
            held is not None  # as `_age`, without its call: for each request of a resource server
            and self._monotonic() - held.asked_at < self._refresh_seconds
            and self._clock() - held.asked_at_wall < self._refresh_seconds
        ):
            return held.withdrawals
        if self._process_id != os.getpid():  # a fork may have copied a lock that a thread of the parent held
            self._process_id, self._lock = os.getpid(), threading.Lock()
        usable = held is not None and self._age(held) < self._max_staleness
        if usable and self._monotonic() - self._failed_at < RETRY_SECONDS:
            return held.withdrawals  # type: ignore[union-attr]  # usable
        if not self._lock.acquire(blocking=not usable):
            return held.withdrawals  # type: ignore[union-attr]  # somebody else is asking, and this still counts
        try:
            return self._refresh(held)
        finally:
            self._lock.release()

    def check(self, token: str, verified: VerifiedAccessToken) -> VerifiedAccessToken:
        """Return the verified token if it stands, perhaps with fewer operations. May block.

        Raises:
            RevokedTokenError: It was withdrawn, or the trust behind it was.
            UnavailableError: There is no news that could be relied on.
        """
        del token
        return self.current().check(verified, self._clock())[0]

    def close(self) -> None:
        """Close the idle connections; the object can still be used."""
        self._connections.close()

    def _age(self, held: _Held) -> float:
        elapsed, elapsed_wall = self._monotonic() - held.asked_at, self._clock() - held.asked_at_wall
        return max(elapsed, elapsed_wall)

    def _refresh(self, seen: _Held | None) -> Withdrawals:
        """Ask, unless somebody else did while this call waited for its turn."""
        held = self._held
        if held is not None and held is not seen and self._age(held) < self._max_staleness:
            return held.withdrawals
        try:
            self._held = held = self._ask(held)
        except UnavailableError as error:
            self._failed_at = self._monotonic()
            if held is None or self._age(held) >= self._max_staleness:
                raise
            _log.warning("the last news of the revocation feed still counts: %s", error)
        return held.withdrawals

    def _ask(self, held: _Held | None) -> _Held:
        asked_at, asked_at_wall = self._monotonic(), self._clock()
        cursor = held.cursor if held is not None else ""
        heard: dict[Subject, News] = {}
        anew = held is None
        for _ in range(MAX_PAGES):
            page_anew, more, cursor, entries = self._page(cursor)
            if page_anew:  # our cursor means nothing there: a restored database, or we were away for long
                anew, heard = True, {}
            heard.update(read_news(entry, asked_at_wall) for entry in entries)
            if not more:
                break
        else:
            raise UnavailableError("the revocation feed does not end")
        known = held.withdrawals if held is not None else Withdrawals()
        if heard or anew:
            known = known.updated(heard, now=asked_at_wall, anew=anew)
        return _Held(known, cursor, asked_at, asked_at_wall)

    def _page(self, cursor: str) -> tuple[bool, bool, str, list[object]]:
        headers = {"Authorization": self._authorization.reveal(), "Accept": "application/json"}
        try:
            answer = self._connections.get(f"cursor={quote(cursor, safe='')}", headers)
        except TransportError as error:
            raise UnavailableError(f"what is withdrawn cannot be known now: {error.message}") from error
        members = read_members(answer, _WHAT)
        anew, more, cursor_after = members.get("snapshot"), members.get("more"), members.get("cursor")
        entries = members.get("entries")
        if not (
            isinstance(anew, bool)
            and isinstance(more, bool)
            and isinstance(cursor_after, str)
            and 0 < len(cursor_after) <= _MAX_CURSOR_CHARS
            and isinstance(entries, list)
            and (anew or cursor)  # what begins without a cursor says that it is all there is
        ):
            raise UnavailableError("the revocation feed's answer cannot be understood")
        return anew, more, cursor_after, entries
