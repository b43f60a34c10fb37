"""The keys of each issuer, kept so that a token with a known key never waits and never fails because of others.

An attacker chooses the `kid` of the tokens he sends, an issuer may be down or rotate at any moment, and both at once.
So three things are kept apart: *this key is known* (answered from memory, without a lock), *this key is not published*
(said only after a fetch that began after the question), and *we cannot know now* (an outage, never a refusal: D9, K06).

Time is monotonic; the wall clock only measures the difference to the issuer's `Date` (T53). No lock is held while
something is fetched, and no callback is called under one.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from keyless.errors import ConfigurationError, MalformedTokenError, TransportError, UnavailableError, UnknownKeyError
from keyless.http.deadline import Deadline
from keyless.jose.jwk import KeySet, PublicKey, parse_jwks
from keyless.oidc.discovery import Fetcher, find_jwks_uri, operator_port
from keyless.oidc.fetch_budget import FetchBudget
from keyless.oidc.issuer import Issuer, Network
from keyless.oidc.pinned_keys import find_pinned
from keyless.oidc.shared_keys import FetchedKeys, KeyTurns

MIN_FRESH_SECONDS: Final = 600.0  # K02; also what an issuer gets that names no max-age: a withdrawn key dies sooner
MAX_FRESH_SECONDS: Final = 3600.0  # K02
MAX_STALE_SECONDS: Final = 24 * 3600.0  # K02: after that, keys that nobody confirmed are not believed
REFRESH_AT_SHARE: Final = 0.8  # of the fresh time; the rest is for the background refresh to succeed in
COOLDOWN_SECONDS: Final = 30.0  # K03, S07: an attacker chooses kid, so misses must not cause fetches
RECENT_FAILURE_SECONDS: Final = 2 * COOLDOWN_SECONDS  # a failure this young is reason enough to serve stale keys
FLIGHT_SECONDS: Final = 7.0  # K07: discovery and key set together, inside the 8 s of a whole verification
WAIT_SECONDS: Final = 7.5  # K07
MAX_WAITERS: Final = 32  # threads that may wait for one fetch; more would let one issuer take them all (T30)
FETCHES_PER_MINUTE: Final = 240  # S07, for all issuers together; each may cause two attempts a minute (K03)

_log = logging.getLogger(__name__)

Origin = tuple[str, Network, str | None]
OnKeys = Callable[[Issuer, KeySet], None]
OnClockSkew = Callable[[Issuer, float], None]


def _origin(issuer: Issuer) -> Origin:
    return issuer.url, issuer.network, issuer.jwks_uri


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One confirmed key set and the times until which it counts; replaced as a whole, never changed."""

    issuer: Issuer
    keys: KeySet
    by_kid: Mapping[str, tuple[PublicKey, ...]]
    jwks_uri: str
    etag: str | None
    refresh_at: float
    fresh_until: float
    stale_until: float
    refreshes: int

    def is_of(self, issuer: Issuer) -> bool:
        return self.issuer is issuer or _origin(self.issuer) == _origin(issuer)


@dataclass(frozen=True, slots=True)
class KeysAtHand:
    """Say what one process knows of an issuer's keys, for operators.

    Attributes:
        kids: That it holds; empty before the first fetch.
        fetched_seconds_ago: Since they were confirmed; `None`: never.
        failing: The last attempt to fetch them failed.
    """

    kids: frozenset[str]
    fetched_seconds_ago: float | None
    failing: bool


@dataclass(slots=True, eq=False)
class _Flight:
    """One fetch under way."""

    number: int  # place in the order of arrivals and starts
    started_at: float
    refreshes: int  # of the record it is made for
    stranger: bool = False  # a token named a key that a set we hold has not: of all processes one is enough to ask
    adopted: bool = False  # what it brought was fetched by another process, before it began
    done: threading.Event = field(default_factory=threading.Event)
    waiters: int = 0
    succeeded: bool = False


@dataclass(slots=True, eq=False)
class _Entry:
    """What is known about one issuer. Written under the lock only; `snapshot` and the times are read without it."""

    origin: Origin
    snapshot: _Snapshot | None = None
    flight: _Flight | None = None
    attempt_started_at: float = float("-inf")
    attempt_failed: bool = False
    cooling_since: float = float("-inf")  # start of the last fetch for an unknown key, or of one that failed (K03)
    refreshes: int = -1  # the newest `key_refreshes` of the record that a fetch was started for


def _start_thread(work: Callable[[], object]) -> None:
    threading.Thread(target=work, name="keyless-jwks", daemon=True).start()


class JwksCache:
    """Keep the key sets of issuers in memory, by issuer id (K01).

    Bounded by the number of issuer records, each with at most 64 keys; nothing a token says adds an entry. A new cache
    asks nobody (K14). Safe to share between threads.

    Args:
        fetcher: The guarded fetcher.
        clock: Monotonic seconds.
        wall_clock: Unix seconds.
        on_keys: Called with the issuer and its keys after each fetch that succeeded, whether they changed or not.
        on_clock_skew: Called with the issuer and its clock minus ours in seconds, after each fetch that told (T53).
        fetches_per_minute: Bound for all issuers together (S07).
        max_waiters: Threads that may wait for one fetch.
        turns: Where several processes agree on who asks when strangers name keys that nobody knows.
        spawn: Starts a background refresh.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        on_keys: OnKeys | None = None,
        on_clock_skew: OnClockSkew | None = None,
        fetches_per_minute: int = FETCHES_PER_MINUTE,
        max_waiters: int = MAX_WAITERS,
        turns: KeyTurns | None = None,
        spawn: Callable[[Callable[[], object]], None] = _start_thread,
    ) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._wall_clock = wall_clock
        self._on_keys = on_keys
        self._on_clock_skew = on_clock_skew
        self._max_waiters = max_waiters
        self._turns = turns
        self._spawn = spawn
        self._lock = threading.Lock()
        self._entries: dict[int, _Entry] = {}
        self._budget = FetchBudget(fetches_per_minute)
        self._order = itertools.count()  # `next` is atomic; equal clock readings must not hide who was first

    # --- the fast path ---

    def peek(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...] | None:
        """Return the issuer's keys of that id if memory can answer; never waits for the network.

        Starts a background refresh when one is due.

        Returns:
            One to four keys, or `None` when only `resolve` can tell.
        """
        if kid in issuer.distrusted_kids:
            return None
        if issuer.pinned_keys is not None:
            with contextlib.suppress(UnknownKeyError, UnavailableError):
                return find_pinned(issuer, kid, now=self._wall_clock())
            return None
        entry = self._entries.get(issuer.id)
        if entry is None or (snapshot := entry.snapshot) is None or not snapshot.is_of(issuer):
            return None
        now = self._clock()
        if now >= snapshot.refresh_at or snapshot.refreshes < issuer.key_refreshes:
            if entry.refreshes < issuer.key_refreshes:
                return None  # an operator said "now": the next token waits for it, once
            if now >= snapshot.stale_until:
                return None
            # Past its fresh time a set counts only while the issuer is known to be failing: after a quiet hour the
            # first token must not be believed on keys that may have been withdrawn (K15).
            if now >= snapshot.fresh_until and not _failing(entry, now):
                return None
            self._refresh_in_background(issuer, now)
        return snapshot.by_kid.get(kid)

    # --- the slow path ---

    def resolve(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...]:
        """Return the issuer's keys of that id, fetching them if that may and can be done. Blocks up to 7.5 s (K07).

        Raises:
            UnknownKeyError: A fetch that began after this call says that the issuer does not publish the key, or an
                operator distrusts it.
            UnavailableError: We cannot know now; `retry_after` says when to ask again. Never a refusal (K06, D9).
        """
        arrival = next(self._order)
        if kid in issuer.distrusted_kids:
            raise UnknownKeyError("the token's key is not trusted any more")
        if issuer.pinned_keys is not None:
            return find_pinned(issuer, kid, now=self._wall_clock())
        if (keys := self.peek(issuer, kid)) is not None:
            return keys
        with self._lock:
            entry = self._entry(issuer)
            now = self._clock()
            flight, wait_seconds = entry.flight, 0.0
            lead = flight is None
            if flight is None and entry.refreshes < issuer.key_refreshes and entry.snapshot is not None:
                flight = self._new_flight(entry, now, issuer)
            elif flight is None:
                # Only a set we hold and that has aged is asked for by routine; all else a stranger can cause.
                forced = entry.snapshot is None or now < entry.snapshot.fresh_until
                flight, wait_seconds = self._take_off(entry, now, issuer, forced=forced)
            elif flight.waiters >= self._max_waiters:
                flight, wait_seconds = None, 2.0
            else:
                flight.waiters += 1
        if flight is None:
            return self._known_or_unavailable(issuer, entry, kid, wait_seconds)
        if lead:
            self._fly(issuer, entry, flight)
        else:
            flight.done.wait(WAIT_SECONDS)
        if flight.refreshes < issuer.key_refreshes:
            return self.resolve(issuer, kid)  # it began before the operator asked
        if not flight.succeeded:
            return self._known_or_unavailable(issuer, entry, kid, self._cooldown_left(entry))
        if (found := self._held(entry, kid)) is not None:
            return found
        if flight.number > arrival and not flight.adopted:
            raise UnknownKeyError("the issuer does not publish the token's key")
        raise UnavailableError(
            "the token's key is not among those fetched before it came", retry_after=self._cooldown_left(entry)
        )

    def _held(self, entry: _Entry, kid: str) -> tuple[PublicKey, ...] | None:
        snapshot = entry.snapshot
        if snapshot is None or self._clock() >= snapshot.stale_until:
            return None
        return snapshot.by_kid.get(kid)

    def _known_or_unavailable(
        self, issuer: Issuer, entry: _Entry, kid: str, retry_after: float
    ) -> tuple[PublicKey, ...]:
        if (keys := self._held(entry, kid)) is not None:  # K05: an issuer that is down changes nothing for known keys
            return keys
        raise UnavailableError(
            f"the keys of {issuer.url} cannot be fetched right now", retry_after=max(1.0, retry_after)
        )

    def _cooldown_left(self, entry: _Entry) -> float:
        return max(1.0, entry.cooling_since + COOLDOWN_SECONDS - self._clock())

    # --- what operators do ---

    def refresh_now(self, issuer: Issuer) -> frozenset[str]:
        """Fetch the issuer's keys without regard to age and cool-down; also the test fetch of a new record (S08, K15).

        Returns:
            The key ids that are trusted now.

        Raises:
            UnavailableError: The fetch failed; the cause tells an operator why. A set that is held stays.
        """
        entry, flight = self._flight_of_our_own(issuer)
        failure = self._fly(issuer, entry, flight)
        snapshot = entry.snapshot
        if failure is not None or snapshot is None:
            raise UnavailableError(
                f"the keys of {issuer.url} cannot be fetched right now", retry_after=COOLDOWN_SECONDS
            ) from failure
        return frozenset(snapshot.by_kid) - issuer.distrusted_kids

    def _flight_of_our_own(self, issuer: Issuer) -> tuple[_Entry, _Flight]:
        while True:
            with self._lock:
                entry = self._entry(issuer)
                if (current := entry.flight) is None:
                    return entry, self._new_flight(entry, self._clock(), issuer)
            current.done.wait(WAIT_SECONDS)  # it began before the operator asked

    def at_hand(self, issuer: Issuer) -> KeysAtHand:
        """Return what is known of an issuer's keys right now; asks nobody."""
        entry = self._entries.get(issuer.id)
        if entry is None or entry.origin != _origin(issuer):
            return KeysAtHand(frozenset(), None, failing=False)
        snapshot = entry.snapshot
        if snapshot is None:
            return KeysAtHand(frozenset(), None, failing=entry.attempt_failed)
        fetched_at = snapshot.stale_until - MAX_STALE_SECONDS
        return KeysAtHand(frozenset(snapshot.by_kid), self._clock() - fetched_at, failing=entry.attempt_failed)

    def retain(self, issuer_ids: Iterable[int]) -> None:
        """Forget every issuer but these; for a caller whose records changed."""
        kept = frozenset(issuer_ids)
        with self._lock:
            self._entries = {name: entry for name, entry in self._entries.items() if name in kept}

    # --- one fetch ---

    def _entry(self, issuer: Issuer) -> _Entry:
        """Return the issuer's entry; a changed address, network or pin starts afresh. The lock is held."""
        entry = self._entries.get(issuer.id)
        if entry is None or entry.origin != _origin(issuer):
            entry = self._entries[issuer.id] = _Entry(_origin(issuer))
        return entry

    def _take_off(self, entry: _Entry, now: float, issuer: Issuer, *, forced: bool) -> tuple[_Flight | None, float]:
        """Return a new flight, or `None` and the seconds until one may start. The lock is held."""
        since = entry.cooling_since if forced else entry.attempt_started_at
        left = since + COOLDOWN_SECONDS - now
        if left > 0:
            return None, left
        wait_seconds = self._budget.take(now, forced=forced)
        if wait_seconds > 0:
            return None, wait_seconds
        flight = self._new_flight(entry, now, issuer)
        if forced and entry.snapshot is not None:
            entry.cooling_since = now
            flight.stranger = True
        return flight, 0.0

    def _new_flight(self, entry: _Entry, now: float, issuer: Issuer) -> _Flight:
        entry.attempt_started_at = now  # K03: from the start, so that slow failures are not asked for back to back
        entry.refreshes = max(entry.refreshes, issuer.key_refreshes)
        entry.flight = _Flight(next(self._order), now, issuer.key_refreshes)
        return entry.flight

    def _refresh_in_background(self, issuer: Issuer, now: float) -> None:
        entry = self._entries.get(issuer.id)
        if entry is None or entry.flight is not None or now < entry.attempt_started_at + COOLDOWN_SECONDS:
            return  # without the lock: most callers leave here
        with self._lock:
            entry = self._entry(issuer)
            if entry.flight is not None:
                return
            flight, _ = self._take_off(entry, now, issuer, forced=False)
        if flight is None:
            return
        current, started = entry, flight
        try:
            self._spawn(lambda: self._fly(issuer, current, started))
        except RuntimeError as error:  # no more threads: an attempt like any other, and it failed
            self._land(entry, flight, None)
            _log.warning("keys of issuer %d: no thread for the refresh: %s", issuer.id, error)

    def _fly(self, issuer: Issuer, entry: _Entry, flight: _Flight) -> Exception | None:
        """Fetch, keep what is good, wake who waits. Returns why it failed, or `None`."""
        previous = entry.snapshot
        fresh: _Snapshot | None = None
        failure: Exception | None = None
        skew_seconds: float | None = None
        try:
            fresh, skew_seconds = self._fetch_in_turn(issuer, previous, flight)
        except (TransportError, ConfigurationError, MalformedTokenError) as error:
            failure = error
            _log.warning("keys of issuer %d: %s", issuer.id, error)
        except Exception as error:  # noqa: BLE001  # what we did not foresee is our outage, not a refusal of somebody's token
            failure = error
            _log.exception("keys of issuer %d: the fetch failed in a way we did not foresee", issuer.id)
        finally:  # a flight that never lands would block the issuer for good
            self._land(entry, flight, fresh)
        if fresh is not None:
            self._tell(issuer, fresh.keys, skew_seconds)
        return failure

    def _fetch_in_turn(self, issuer: Issuer, held: _Snapshot | None, flight: _Flight) -> tuple[_Snapshot, float | None]:
        """Fetch, or take what another process has just fetched for the same reason."""
        if self._turns is None or not flight.stranger:
            return self._fetch(issuer, held, flight.started_at)
        try:
            theirs = self._turns.take_turn(issuer, every_seconds=COOLDOWN_SECONDS, wait_seconds=FLIGHT_SECONDS)
        except UnavailableError:  # each for itself, and no less than with one process
            return self._fetch(issuer, held, flight.started_at)
        if theirs is not None:
            flight.adopted = True
            keys = _parsed(theirs.jwks)
            started_at = flight.started_at - theirs.age_seconds
            snapshot = _snapshot(issuer, keys, theirs.jwks_uri, None, theirs.max_age_seconds, started_at)
            return snapshot, None
        found: list[FetchedKeys] = []
        try:
            # All of it, for others may hold an older set than ours.
            return self._fetch(issuer, None, flight.started_at, found.append)
        finally:
            with contextlib.suppress(UnavailableError):
                self._turns.end_turn(issuer, found[0] if found else None)

    def _fetch(
        self,
        issuer: Issuer,
        held: _Snapshot | None,
        started_at: float,
        on_fetched: Callable[[FetchedKeys], object] = lambda _: None,
    ) -> tuple[_Snapshot, float | None]:
        deadline = Deadline(FLIGHT_SECONDS)
        # Discovery is asked each time: an issuer that moves its keys and rotates must not look as if it did neither.
        jwks_uri = find_jwks_uri(self._fetcher, issuer, deadline=deadline)
        etag = held.etag if held is not None and held.jwks_uri == jwks_uri else None
        fetched = self._fetcher.fetch(
            jwks_uri, network=issuer.network, deadline=deadline, operator_port=operator_port(issuer), etag=etag
        )
        if fetched.body is None:
            if held is None or etag is None:
                raise TransportError("the issuer says that nothing changed, and we hold nothing", retryable=True)
            keys = held.keys  # K11: confirmed without being sent again
        else:
            keys = _parsed(fetched.body)
            on_fetched(FetchedKeys(fetched.body, jwks_uri, fetched.max_age_seconds))
        etag = fetched.etag or (etag if fetched.body is None else None)
        snapshot = _snapshot(issuer, keys, jwks_uri, etag, fetched.max_age_seconds, started_at)
        return snapshot, None if fetched.date is None else fetched.date - self._wall_clock()

    def _land(self, entry: _Entry, flight: _Flight, fresh: _Snapshot | None) -> None:
        with self._lock:
            if fresh is not None:
                entry.snapshot = fresh
                if flight.adopted:  # cool as long as the process that asked
                    entry.cooling_since = fresh.stale_until - MAX_STALE_SECONDS
            else:
                entry.cooling_since = flight.started_at
            entry.attempt_failed = fresh is None
            flight.succeeded = fresh is not None
            entry.flight = None
        flight.done.set()

    def _tell(self, issuer: Issuer, keys: KeySet, skew_seconds: float | None) -> None:
        try:
            if skew_seconds is not None and self._on_clock_skew is not None:
                self._on_clock_skew(issuer, skew_seconds)
            if self._on_keys is not None:
                self._on_keys(issuer, keys)
        except Exception:  # noqa: BLE001  # an observer's mistake must not turn into a failed exchange
            _log.exception("keys of issuer %d: an observer failed", issuer.id)


def _parsed(body: bytes) -> KeySet:
    keys = parse_jwks(body)  # K05, K08: raises for what must not replace a good set
    if not keys.kids:
        raise MalformedTokenError("no key of the set has a kid")
    return keys


def _snapshot(
    issuer: Issuer, keys: KeySet, jwks_uri: str, etag: str | None, max_age_seconds: int | None, started_at: float
) -> _Snapshot:
    asked = max_age_seconds
    fresh_seconds = MIN_FRESH_SECONDS if asked is None else min(max(asked, MIN_FRESH_SECONDS), MAX_FRESH_SECONDS)
    return _Snapshot(
        issuer=issuer,
        keys=keys,
        by_kid={kid: keys.find(kid) for kid in keys.kids},
        jwks_uri=jwks_uri,
        etag=etag,
        refresh_at=started_at + REFRESH_AT_SHARE * fresh_seconds,
        fresh_until=started_at + fresh_seconds,
        stale_until=started_at + MAX_STALE_SECONDS,
        refreshes=issuer.key_refreshes,
    )


def _failing(entry: _Entry, now: float) -> bool:
    return entry.attempt_failed and now < entry.attempt_started_at + RECENT_FAILURE_SECONDS
