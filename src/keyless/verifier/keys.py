"""The token service's public keys, at a resource server: fetched when needed, kept when the service is down.

An attacker chooses `kid`, so an unknown one causes at most one fetch per cool-down, shared by all who wait (K03, K04).
A fetch that fails never replaces a good set (K05), and not knowing is an outage, never a refusal (K06, D9).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from keyless.errors import MalformedTokenError, TransportError, UnavailableError, UnknownKeyError
from keyless.jose.jwk import KeySet, parse_jwks

FRESH_SECONDS: Final = 600.0  # K02, K15: a withdrawn key is forgotten after this
STALE_SECONDS: Final = 24 * 3600.0  # K02: after this, keys that nobody confirmed are not believed
COOLDOWN_SECONDS: Final = 30.0  # K03
WAIT_SECONDS: Final = 8.0  # K07: longer than one fetch may take

Fetch = Callable[[str], bytes]

_log: Final = logging.getLogger(__name__)


class KeyCache:
    """Hold the key set of one token service. Safe to share between threads.

    Args:
        url: Address of the key set.
        fetch: Returns a document or raises `TransportError`; bounded in time and size.
        monotonic: Clock in seconds.
    """

    def __init__(self, url: str, fetch: Fetch, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url: Final = url
        self._fetch: Final = fetch
        self._monotonic: Final = monotonic
        self._lock: Final = threading.Lock()
        self._held: tuple[KeySet, float] | None = None  # the set, and when it was asked for; replaced as a whole
        self._attempted_at = float("-inf")
        self._flight: threading.Event | None = None

    def get(self, kid: str) -> KeySet:
        """Return a key set that holds the key of that id, fetching it if that may be done now.

        Raises:
            UnknownKeyError: The service was asked just now and does not publish the key.
            UnavailableError: It cannot be known now; `retry_after` says when to ask again.
        """
        keys = self._usable(kid, FRESH_SECONDS)
        if keys is not None:
            return keys
        # A set that is no longer fresh is still good while somebody else asks whether it has changed.
        fetched_by_us = self._refresh(wait=self._usable(kid, STALE_SECONDS) is None)
        keys = self._usable(kid, STALE_SECONDS)
        if keys is not None:
            return keys
        # Somebody else's fetch may have begun before the key was published; only our own proves that it is not.
        if fetched_by_us:
            raise UnknownKeyError("the service does not publish the token's key")
        raise UnavailableError(
            "the token service's keys cannot be fetched now", retry_after=max(1.0, self._cooldown_left())
        )

    def _usable(self, kid: str, max_age_seconds: float) -> KeySet | None:
        if (held := self._held) is None:
            return None
        keys, asked_at = held
        return keys if kid in keys and self._monotonic() - asked_at < max_age_seconds else None

    def _refresh(self, *, wait: bool) -> bool:
        """Fetch once, or wait for the fetch under way; return True if this call fetched and succeeded."""
        with self._lock:
            flight = self._flight
            if flight is None:
                if self._cooldown_left() > 0:
                    return False
                # From the start of the attempt, so that slow failures are not asked for back to back.
                self._attempted_at = self._monotonic()
                self._flight = threading.Event()
        if flight is None:
            return self._fly()
        if wait:
            flight.wait(WAIT_SECONDS)
        return False

    def _fly(self) -> bool:
        fresh: KeySet | None = None
        try:
            fresh = parse_jwks(self._fetch(self._url))
        except (TransportError, MalformedTokenError) as error:
            _log.warning("the token service's keys could not be fetched: %s", error)
        finally:  # whatever happened, those who wait must go on
            with self._lock:
                if fresh is not None:
                    self._held = fresh, self._attempted_at
                flight, self._flight = self._flight, None
            if flight is not None:
                flight.set()
        return fresh is not None

    def _cooldown_left(self) -> float:
        return max(0.0, self._attempted_at + COOLDOWN_SECONDS - self._monotonic())
