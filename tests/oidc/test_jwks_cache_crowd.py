"""The key cache with many at the door: bursts, floods, rotation and outage at once (K03, K04, K06, T29, T30)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import UnavailableError, UnknownKeyError
from keyless.http.guarded import GuardedFetcher
from keyless.oidc.issuer import Issuer, Network, NetworkKind
from keyless.oidc.jwks_cache import JwksCache
from tests.http.raw_server import RawServer, http_answer, raw_server
from tests.oidc.cache_world import (
    A,
    B,
    Clock,
    World,
    document,
    make_world,
    warm_world,
    world_of_two,
)


@pytest.fixture
def world() -> World:
    return world_of_two()


@pytest.fixture
def warm() -> World:
    return warm_world()


# --- many at once ---


@contextmanager
def held_fetch(world: World) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Hold the next fetch after the issuer answered: (it has begun, let it end)."""
    begun, end = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert end.wait(10)

    world.issuers.during = wait
    try:
        yield begun, end
    finally:
        end.set()
        world.issuers.during = lambda: None


def wait_for_waiters(world: World, count: int) -> None:
    for _ in range(2000):
        flight = world.cache._entries[A.id].flight
        if flight is not None and flight.waiters >= count:
            return
        threading.Event().wait(0.005)
    raise AssertionError("nobody came to wait")


def test_a_cold_burst_makes_one_fetch(world: World) -> None:
    """K04: and all of them get the key."""
    with ThreadPoolExecutor(32) as pool, held_fetch(world) as (begun, end):
        burst = [pool.submit(world.cache.resolve, A, "a1") for _ in range(32)]
        assert begun.wait(10)
        wait_for_waiters(world, 31)
        end.set()
        kids = {key.kid for future in burst for key in future.result(10)}

    assert kids == {"a1"}
    assert len(world.issuers.fetches) == 1


def test_a_fetch_that_began_before_the_token_came_refuses_nobody(warm: World) -> None:
    """K06, D9: its answer may be older than the key; a found key is a found key all the same."""
    warm.clock.now += 60
    with ThreadPoolExecutor(3) as pool, held_fetch(warm) as (begun, end):
        warm.issuers.publish(A, "a1", "a2")
        leader = pool.submit(warm.cache.resolve, A, "a2")
        assert begun.wait(10)
        warm.issuers.publish(A, "a1", "a2", "a3")  # the answer under way does not have it
        too_late = pool.submit(warm.cache.resolve, A, "a3")
        in_time = pool.submit(warm.cache.resolve, A, "a2")
        wait_for_waiters(warm, 2)
        end.set()

        assert [key.kid for key in leader.result(10)] == ["a2"]
        assert [key.kid for key in in_time.result(10)] == ["a2"]
        with pytest.raises(UnavailableError) as caught:
            too_late.result(10)
    assert 1 <= caught.value.retry_after <= 30


def test_one_slow_issuer_cannot_take_all_threads() -> None:
    """T30: those who find the waiting room full are told to come again."""
    world = make_world(max_waiters=2)
    world.issuers.publish(A, "a1")
    with ThreadPoolExecutor(3) as pool, held_fetch(world) as (begun, end):
        inside = [pool.submit(world.cache.resolve, A, "a1") for _ in range(3)]
        assert begun.wait(10)
        wait_for_waiters(world, 2)
        with pytest.raises(UnavailableError) as caught:
            world.cache.resolve(A, "a1")
        end.set()
        assert all(future.result(10) for future in inside)
    assert caught.value.retry_after > 0


def test_one_issuers_fetch_does_not_hold_up_another(world: World) -> None:
    """K04, K14: no lock is held while a document is fetched."""
    with ThreadPoolExecutor(1) as pool, held_fetch(world) as (begun, end):
        slow = pool.submit(world.cache.resolve, A, "a1")
        assert begun.wait(10)
        world.issuers.during = lambda: None

        assert world.kids(B, "b1") == ["b1"]
        end.set()
        slow.result(10)


def test_refresh_now_is_not_content_with_an_older_fetch(warm: World) -> None:
    """K15: what it returns was published after the operator asked."""
    warm.clock.now += 60
    with ThreadPoolExecutor(2) as pool, held_fetch(warm) as (begun, end):
        pool.submit(warm.cache.resolve, A, "x")
        assert begun.wait(10)
        warm.issuers.publish(A, "a2")
        kids = pool.submit(warm.cache.refresh_now, A)
        end.set()

        assert kids.result(10) == {"a2"}


# --- the promises of the main job ---


def test_an_issuer_that_is_down_for_an_hour_costs_no_good_token(warm: World) -> None:
    """K02, K06, T30: known keys are answered from memory all the time; the issuer is asked twice a minute."""
    warm.issuers.break_down(A)
    warm.clock.now += 479
    fetches = len(warm.issuers.fetches)
    slow = 0
    for _ in range(3600):
        warm.clock.now += 1
        slow += warm.cache.peek(A, "a1") is None
        assert warm.kids(A, "a1") == ["a1"]
        warm.run_background()

    assert slow == 0
    assert len(warm.issuers.fetches) - fetches <= 121


def test_a_cold_cache_with_the_issuer_down_is_an_outage(world: World) -> None:
    """D9, K06: 503 with a time to come again, and then it works."""
    world.issuers.break_down(A)
    with pytest.raises(UnavailableError) as caught:
        world.kids(A, "a1")
    world.issuers.publish(A, "a1")
    world.clock.now += caught.value.retry_after

    assert world.kids(A, "a1") == ["a1"]


EVENTS = ["random", "good", "withdrawn", "rotate", "down", "up", "tick", "tick", "minutes"]


@given(st.lists(st.sampled_from(EVENTS), max_size=150))
def test_no_good_token_is_refused_whatever_happens_around_it(events: list[str]) -> None:
    """K03, K05, K06, D9: random kids, rotations, outages and time in any order; good tokens get a key or a 503.

    A key that was withdrawn is never accepted longer than its fresh time while the issuer answers.
    """
    world = make_world()
    generation, up = 2, True
    withdrawn_at, last_down = world.clock.now, float("-inf")

    def publish() -> None:
        if up:
            world.issuers.publish(A, *[f"g{n}" for n in range(max(0, generation - 1), generation + 1)])
        else:
            world.issuers.break_down(A)

    publish()
    for number, event in enumerate(events):
        if event == "rotate":
            generation, withdrawn_at = generation + 1, world.clock.now
        elif event in {"down", "up"}:
            up = event == "up"
        elif event == "tick":
            world.clock.now += 7
        elif event == "minutes":
            world.clock.now += 400
        elif event == "withdrawn":
            try:
                world.kids(A, f"g{generation - 2}")
                assert world.clock.now - max(withdrawn_at, last_down) < 660  # fresh time, and a recent failure
            except (UnknownKeyError, UnavailableError):
                pass
        elif event == "random":
            with pytest.raises((UnknownKeyError, UnavailableError)):
                world.kids(A, f"random{number}")
        else:
            try:
                assert world.kids(A, f"g{generation}") == [f"g{generation}"]
            except UnavailableError as error:
                assert 1 <= error.retry_after <= 30  # noqa: PT017  # both outcomes are right
        last_down = last_down if up else world.clock.now
        publish()
        world.run_background()


def test_a_rotation_under_a_flood_over_real_http_refuses_no_good_token() -> None:
    """K03, K04, T29: threads, a real issuer on loopback that rotates, and random kids all the while."""
    published = ["k0"]

    def answer(head: str) -> bytes:
        body = document(*published[-2:])
        tag = f'"{len(published)}"'
        if f"If-None-Match: {tag}" in head:
            return f"HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n".encode()
        return http_answer(body, f"ETag: {tag}")

    refused: list[Exception] = []
    outages: list[float] = []
    good = 0
    with raw_server(answer) as server:
        clock = Clock()
        cache = JwksCache(GuardedFetcher(), clock=clock)
        issuer = loopback_issuer(server)
        stop = threading.Event()

        def flood(number: int) -> None:
            count = 0
            while not stop.is_set():
                count += 1
                with pytest.raises((UnknownKeyError, UnavailableError)):
                    cache.resolve(issuer, f"random-{number}-{count}")

        with ThreadPoolExecutor(4) as pool:
            floods = [pool.submit(flood, number) for number in range(3)]
            try:
                for turn in range(40):
                    if turn % 10 == 9:
                        published.append(f"k{len(published)}")
                    kid = published[-1]
                    try:
                        assert cache.peek(issuer, kid) or cache.resolve(issuer, kid)
                        good += 1
                    except UnavailableError as error:
                        outages.append(error.retry_after)
                    except UnknownKeyError as error:
                        refused.append(error)
                    clock.now += 10
            finally:
                stop.set()
            for future in floods:
                future.result(10)

    assert refused == []
    assert good >= 20
    assert all(1 <= seconds <= 30 for seconds in outages)
    assert len(server.heads) <= 40 * 10 / 30 + 2  # twice a minute at most, however many ask


def loopback_issuer(server: RawServer) -> Issuer:
    url = f"http://127.0.0.1:{server.port}"
    return Issuer(id=9, url=url, kind="generic", network=Network(NetworkKind.LOOPBACK), jwks_uri=f"{url}/keys")


def test_the_default_refresh_runs_in_a_thread_of_its_own() -> None:
    """K02: the token that notices does not wait for it."""
    with raw_server(lambda _head: http_answer(document("k0"))) as server:
        clock = Clock()
        cache = JwksCache(GuardedFetcher(), clock=clock)
        issuer = loopback_issuer(server)
        cache.resolve(issuer, "k0")
        clock.now += 500
        assert cache.peek(issuer, "k0") is not None
        for thread in threading.enumerate():
            if thread.name == "keyless-jwks":
                thread.join(10)

    assert len(server.heads) == 2
