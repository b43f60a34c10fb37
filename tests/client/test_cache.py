"""One token per key, made once, kept while it is good (S7)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

import pytest

from keyless.client.cache import MAX_ENTRIES, TokenCache, refresh_margin
from keyless.client.exchange import ExchangedToken
from keyless.errors import ExchangeRefusedError, ExchangeUnavailableError, OIDCError
from keyless.http.deadline import Deadline
from keyless.secret import Secret


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Makes tokens of a lifetime, or fails on request."""

    def __init__(self, clock: Callable[[], float], lifetime: int = 3600) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.made = 0
        self.error: BaseException | None = None

    def __call__(self) -> ExchangedToken:
        self.made += 1
        if self.error is not None:
            raise self.error
        expires_at = self.clock() + self.lifetime
        return ExchangedToken(
            Secret(f"token-{self.made}"), expires_in=self.lifetime, expires_at=expires_at, request_id=None
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> TokenCache:
    return TokenCache(monotonic=clock)


def ask(cache: TokenCache, service: Service, *, key: Hashable = "k", early: bool = True) -> str:
    return cache.get(key, refresh_early=early, make=service, deadline=Deadline(5)).access_token.reveal()


@pytest.mark.parametrize(
    ("lifetime", "margin"), [(3600, 300), (1500, 300), (1000, 200), (300, 60), (60, 12), (1, 0.2), (86400, 300)]
)
def test_the_margin_follows_the_lifetime(lifetime: int, margin: float) -> None:
    """protocols.md 0.2: a fixed margin of 300 s exchanges at every call for short tokens."""
    assert refresh_margin(lifetime) == pytest.approx(margin)


@pytest.mark.parametrize("lifetime", [60, 300, 301, 3600])
def test_a_minted_token_is_replaced_before_it_ends(cache: TokenCache, clock: Clock, lifetime: int) -> None:
    """S7: not before the margin, and in any case inside it."""
    service = Service(clock, lifetime)
    first = ask(cache, service)
    clock.now += lifetime - refresh_margin(lifetime) - 0.01
    before_margin = ask(cache, service)
    clock.now += 0.02
    inside_margin = ask(cache, service)

    assert (first, before_margin, inside_margin) == ("token-1", "token-1", "token-2")


@pytest.mark.parametrize("lifetime", [60, 300, 3600])
def test_a_handed_over_id_token_is_not_sent_again_early(cache: TokenCache, clock: Clock, lifetime: int) -> None:
    """S7: until the very end, then once."""
    service = Service(clock, lifetime)
    ask(cache, service, early=False)
    clock.now += lifetime - 0.01
    at_the_end = ask(cache, service, early=False)
    clock.now += 0.02
    after = [ask(cache, service, early=False) for _ in range(3)]

    assert at_the_end == "token-1"
    assert after == ["token-2"] * 3


def test_keys_live_side_by_side(cache: TokenCache, clock: Clock) -> None:
    """protocols.md 1.4: the origin's one slot exchanges again when two resources alternate."""
    service = Service(clock)
    seen = [ask(cache, service, key=key) for key in ["model", "data"] * 5]

    assert service.made == 2
    assert seen == ["token-1", "token-2"] * 5


def test_the_number_of_entries_is_bounded(cache: TokenCache, clock: Clock) -> None:
    """A process that walks through resources does not grow for ever; the latest are kept."""
    service = Service(clock)
    for number in range(MAX_ENTRIES * 2):
        clock.now += 0.001
        ask(cache, service, key=number)
    ask(cache, service, key=MAX_ENTRIES * 2 - 1)

    assert service.made == MAX_ENTRIES * 2
    assert len(cache._entries) == MAX_ENTRIES


def test_an_outage_inside_the_margin_is_not_the_jobs_problem(cache: TokenCache, clock: Clock) -> None:
    """The old token still has time; the service is asked again a little later, not at every call."""
    service = Service(clock)
    ask(cache, service)
    clock.now += 3400
    service.error = ExchangeUnavailableError("down")
    seen = [ask(cache, service) for _ in range(5)]
    attempts_at_once = service.made
    clock.now += 6
    ask(cache, service)
    attempts_later = service.made
    clock.now += 200

    assert seen == ["token-1"] * 5
    assert (attempts_at_once, attempts_later) == (2, 3)
    with pytest.raises(ExchangeUnavailableError):
        ask(cache, service)


def test_a_refusal_inside_the_margin_is_told(cache: TokenCache, clock: Clock) -> None:
    """S6: withdrawn trust is not papered over with the old token."""
    service = Service(clock)
    ask(cache, service)
    clock.now += 3400
    service.error = ExchangeRefusedError("no", status=400)

    with pytest.raises(ExchangeRefusedError):
        ask(cache, service)


def test_a_failure_is_not_kept(cache: TokenCache, clock: Clock) -> None:
    """The next call tries again."""
    service = Service(clock)
    service.error = ExchangeUnavailableError("down")
    with pytest.raises(ExchangeUnavailableError):
        ask(cache, service)
    service.error = None

    assert ask(cache, service) == "token-2"


def test_forget_and_clear(cache: TokenCache, clock: Clock) -> None:
    """A token can be dropped before its time."""
    service = Service(clock)
    seen = [ask(cache, service)]
    cache.forget("k")
    seen.append(ask(cache, service))
    cache.clear()
    seen.append(ask(cache, service))

    assert seen == ["token-1", "token-2", "token-3"]
    assert cache.refresh_in("k") == pytest.approx(3300)
    assert cache.refresh_in("unknown") is None


def together(count: int, act: Callable[[], object]) -> list[object]:
    """Run `act` in many threads that start at once; return results and errors."""
    barrier = threading.Barrier(count)
    results: list[object] = []

    def run() -> None:
        barrier.wait()
        try:
            results.append(act())
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class SlowService(Service):
    def __call__(self) -> ExchangedToken:
        time.sleep(0.1)
        return super().__call__()


def test_32_threads_make_one_token(cache: TokenCache, clock: Clock) -> None:
    """S7: single flight."""
    service = SlowService(clock)

    assert together(32, lambda: ask(cache, service)) == ["token-1"] * 32
    assert service.made == 1


def test_all_threads_learn_of_a_failure_each_with_an_error_of_its_own(cache: TokenCache, clock: Clock) -> None:
    """32 threads do not ask a failing service 32 times, and do not share a traceback."""
    service = SlowService(clock)
    service.error = ExchangeRefusedError("no", status=400, reason="token_expired", hint="h")
    errors = together(32, lambda: ask(cache, service))

    assert service.made == 1
    assert len({id(error) for error in errors}) == 32
    assert {(e.message, e.hint, e.status, e.reason) for e in errors if isinstance(e, ExchangeRefusedError)} == {
        ("no", "h", 400, "token_expired")
    }


def test_an_interrupted_leader_is_replaced(cache: TokenCache, clock: Clock) -> None:
    """Ctrl-C in one thread is not the others' failure."""
    service = SlowService(clock)
    first = threading.Event()

    def make() -> ExchangedToken:
        if not first.is_set():
            first.set()
            time.sleep(0.1)
            raise KeyboardInterrupt
        return service()

    results = together(
        4, lambda: cache.get("k", refresh_early=True, make=make, deadline=Deadline(5)).access_token.reveal()
    )

    assert sorted(map(str, results)) == ["", "token-1", "token-1", "token-1"]


def test_nobody_waits_longer_than_the_deadline(cache: TokenCache, clock: Clock) -> None:
    """A thread whose own time is over gets a clear error while another is still at it."""
    release = threading.Event()
    service = Service(clock)

    def hang() -> ExchangedToken:
        release.wait(5)
        return service()

    leader = threading.Thread(
        target=lambda: cache.get("k", refresh_early=True, make=hang, deadline=Deadline(5)), daemon=True
    )
    leader.start()
    while "k" not in cache._flights:
        time.sleep(0.001)

    with pytest.raises(OIDCError, match="another thread"):
        cache.get("k", refresh_early=True, make=service, deadline=Deadline(0.05))
    release.set()
    leader.join()
