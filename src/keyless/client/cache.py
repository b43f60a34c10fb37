"""Exchanged tokens of this process: each is made once, however many threads ask, and kept while it is good (S7).

No lock is held while the network is used. One thread (the leader of a key) makes the token, the others wait for it
until their own deadline. In a forked child nobody is under way, whatever the parent was doing (`keyless.http.fork`).
"""

from __future__ import annotations

import threading
import time

from keyless.errors import ExchangeUnavailableError, MintUnavailableError, OIDCError
from keyless.http.fork import reset_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Final

    from keyless.client.exchange import ExchangedToken
    from keyless.http.deadline import Deadline

MAX_REFRESH_MARGIN_SECONDS: Final = 300.0
REFRESH_MARGIN_SHARE: Final = (
    0.2  # of a lifetime; a fixed 300 s would exchange at every call for lives of 300 s or less
)
RETRY_AFTER_FAILURE_SECONDS: Final = 5.0  # the longest a still valid token is used without another attempt
MAX_ENTRIES: Final = 64  # more resources than any job publishes


def refresh_margin(lifetime_seconds: float) -> float:
    """Return how many seconds before its end a token is replaced, when a new one can be minted."""
    return min(MAX_REFRESH_MARGIN_SECONDS, REFRESH_MARGIN_SHARE * lifetime_seconds)


def _retry_at(token: ExchangedToken, now: float) -> float:
    """Return when to try again to replace a token that is still good: more than once before its end."""
    return now + min(RETRY_AFTER_FAILURE_SECONDS, (token.expires_at - now) / 3)


class _Entry:
    __slots__ = ("refresh_at", "token")

    def __init__(self, token: ExchangedToken, refresh_at: float) -> None:
        self.token = token
        self.refresh_at = refresh_at


class _Flight:
    __slots__ = ("done", "error", "token")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.token: ExchangedToken | None = None
        self.error: OIDCError | None = None


class TokenCache:
    """Keep one token per key and make each with one exchange.

    Args:
        monotonic: Clock in seconds, the one `ExchangedToken.expires_at` is on.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._entries: dict[Hashable, _Entry] = {}
        self.changes = 0  # grows whenever a token comes or goes, so that a copy elsewhere knows that it may be old
        self._reset()
        reset_in_child(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight] = {}

    def peek(self, key: Hashable) -> ExchangedToken | None:
        """Return the token of a key if there is one that need not be replaced yet."""
        entry = self._entries.get(key)  # without the lock: one dict operation, and entries never change in place
        return entry.token if entry is not None and self._monotonic() < entry.refresh_at else None

    def has_good(self, key: Hashable) -> bool:
        """Return whether the token of a key is still accepted, even if it should be replaced by now."""
        entry = self._entries.get(key)
        return entry is not None and self._monotonic() < entry.token.expires_at

    def get(
        self, key: Hashable, *, refresh_early: bool, make: Callable[[], ExchangedToken], deadline: Deadline
    ) -> ExchangedToken:
        """Return the token of a key, making it if there is none that is good.

        Args:
            key: What the token depends on: endpoint, resource and identity.
            refresh_early: True when a fresh id token can be minted: the token is then replaced before it ends. False
                for an id token that was handed over: it is not sent again before the end.
            make: Does mint and exchange; called in this thread, by one thread per key at a time.
            deadline: How long to wait for another thread that is already at it.

        Raises:
            OIDCError: The token could not be made; what `make` raised.
        """
        while True:
            with self._lock:
                entry = self._entries.get(key)
                if entry is not None and self._monotonic() < entry.refresh_at:
                    return entry.token
                flight = self._flights.get(key)
                leads = flight is None
                if flight is None:
                    flight = self._flights[key] = _Flight()
            if leads:
                return self._lead(key, flight, entry, refresh_early=refresh_early, make=make)
            if not flight.done.wait(deadline.remaining()):
                raise ExchangeUnavailableError(
                    f"another thread's exchange for the same token did not finish within {deadline.seconds:g} s"
                )
            if flight.token is not None:
                return flight.token
            if flight.error is not None:
                raise _copy(flight.error)
            # The leader was interrupted (Ctrl-C in its thread): somebody else leads now.

    def _lead(
        self,
        key: Hashable,
        flight: _Flight,
        entry: _Entry | None,
        *,
        refresh_early: bool,
        make: Callable[[], ExchangedToken],
    ) -> ExchangedToken:
        try:
            token = make()
        except (ExchangeUnavailableError, MintUnavailableError) as error:
            now = self._monotonic()
            if entry is None or now >= entry.token.expires_at:
                flight.error = error
                raise
            # An outage inside the margin is not the job's problem yet: the old token still has time.
            token = entry.token
            self._keep(key, _Entry(token, _retry_at(token, now)))
            flight.token = token
            return token
        except OIDCError as error:
            flight.error = error
            raise
        else:
            margin = refresh_margin(token.expires_in) if refresh_early else 0.0
            refresh_at = token.expires_at - margin
            now = self._monotonic()
            if refresh_at <= now:  # another process's token that it could not replace either
                refresh_at = _retry_at(token, now)
            self._keep(key, _Entry(token, refresh_at))
            flight.token = token
            return token
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.done.set()

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        with self._lock:
            if len(self._entries) >= MAX_ENTRIES and key not in self._entries:
                oldest = min(self._entries, key=lambda known: self._entries[known].token.expires_at)
                del self._entries[oldest]
            self._entries[key] = entry
            self.changes += 1

    def refresh_in(self, key: Hashable) -> float | None:
        """Return the seconds until the token of a key is replaced, or `None` when there is none."""
        entry = self._entries.get(key)
        return None if entry is None else max(0.0, entry.refresh_at - self._monotonic())

    def forget(self, key: Hashable) -> None:
        """Drop the token of a key, so that the next call makes a new one."""
        with self._lock:
            self._entries.pop(key, None)
            self.changes += 1

    def clear(self) -> None:
        """Drop all tokens."""
        with self._lock:
            self._entries.clear()
            self.changes += 1


def _copy(error: OIDCError) -> OIDCError:
    """Return an equal error, because each thread writes its own traceback into the one it raises."""
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    return twin


shared_cache: Final = TokenCache()
