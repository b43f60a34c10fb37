"""The rules of the key cache, on an injected clock (K01-K15, S07, T31-T34, T37, T40, T53)."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from typing import cast

import pytest

from keyless.errors import TransportError, UnavailableError, UnknownKeyError
from keyless.http.guarded import Fetched
from keyless.oidc.issuer import Issuer, Network, NetworkKind
from keyless.oidc.jwks_cache import JwksCache
from tests.oidc.cache_world import (
    HOUR,
    A,
    B,
    Issuers,
    World,
    document,
    jwk,
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


# --- what is kept, and for whom ---


def test_a_new_cache_asks_nobody(world: World) -> None:
    """K14, S01: not at start, and not for a look into memory."""
    assert world.cache.peek(A, "a1") is None
    assert world.issuers.fetches == []


def test_a_dead_issuer_affects_only_itself(world: World) -> None:
    """K14: the other one is served."""
    world.issuers.break_down(B)
    with pytest.raises(UnavailableError):
        world.kids(B, "b1")

    assert world.kids(A, "a1") == ["a1"]


def test_a_key_answers_for_its_issuer_only(world: World) -> None:
    """K01, T34: the same kid at two issuers is two keys."""
    world.issuers.publish(A, "shared")
    world.issuers.published[cast(str, B.jwks_uri)] = json.dumps({"keys": [{**jwk("other"), "kid": "shared"}]}).encode()
    (of_a,), (of_b,) = world.cache.resolve(A, "shared"), world.cache.resolve(B, "shared")

    assert of_a.material != of_b.material


def test_known_keys_come_from_memory(warm: World) -> None:
    """K02: a second token costs no fetch, and needs no lock."""
    with warm.cache._lock:
        keys = warm.cache.peek(A, "a1")

    assert keys is not None
    assert [key.kid for key in keys] == ["a1"]
    assert warm.issuers.fetches == [A.jwks_uri]


@pytest.mark.parametrize(
    "changes", [{"url": "https://a2.example"}, {"jwks_uri": "https://a.example/2"}, {"network": 1}]
)
def test_a_changed_record_starts_afresh(warm: World, changes: dict[str, object]) -> None:
    """K01: keys fetched for another address, network or pin are not this record's."""
    if "network" in changes:
        changes = {"network": Network(NetworkKind.PRIVATE)}
    changed = dataclasses.replace(A, **changes)  # type: ignore[arg-type]

    assert warm.cache.peek(changed, "a1") is None
    warm.issuers.published[cast(str, changed.jwks_uri)] = document("new")
    assert warm.kids(changed, "new") == ["new"]
    assert warm.cache.peek(changed, "a1") is None


def test_a_record_that_is_equal_keeps_its_keys(warm: World) -> None:
    """K02: reloading the records from the store costs no fetch; other fields do not matter."""
    assert warm.cache.peek(dataclasses.replace(A, max_age_seconds=60), "a1") is not None


def test_forgotten_issuers_leave_memory(warm: World) -> None:
    """K01: bounded by the records there are."""
    warm.kids(B, "b1")
    warm.cache.retain([B.id])

    assert warm.cache.peek(A, "a1") is None
    assert warm.cache.peek(B, "b1") is not None


# --- time ---


@pytest.mark.parametrize(
    "max_age_seconds, fresh_seconds", [(None, 600), (0, 600), (599, 600), (1800, 1800), (3600, 3600), (10**9, 3600)]
)
def test_a_set_is_fresh_as_long_as_the_issuer_says_within_bounds(
    world: World, max_age_seconds: int | None, fresh_seconds: int
) -> None:
    """K02: 10 minutes to 1 hour; the refresh is begun in the background before the end."""
    world.issuers.max_age_seconds = max_age_seconds
    world.kids(A, "a1")
    world.clock.now += 0.8 * fresh_seconds - 1

    assert world.cache.peek(A, "a1") is not None
    assert world.background == []
    world.clock.now += 1
    assert world.cache.peek(A, "a1") is not None
    assert len(world.background) == 1
    assert world.issuers.fetches == [A.jwks_uri]
    assert world.cache.peek(A, "a1") is not None
    assert world.run_background() == 1
    world.clock.now += 0.8 * fresh_seconds - 1
    assert world.cache.peek(A, "a1") is not None
    assert world.run_background() == 0


def test_a_withdrawn_key_dies_within_the_fresh_time_under_traffic(warm: World) -> None:
    """K15, T33: nobody has to ask for it."""
    warm.issuers.publish(A, "a1", "a2")
    warm.cache.refresh_now(A)
    warm.issuers.publish(A, "a2")
    for _ in range(60):
        warm.clock.now += 10
        warm.cache.peek(A, "a2")
        warm.run_background()

    assert warm.cache.peek(A, "a1") is None
    with pytest.raises((UnknownKeyError, UnavailableError)):
        warm.cache.resolve(A, "a1")


def test_a_withdrawn_key_is_dead_after_a_quiet_night(warm: World) -> None:
    """K15, T33: the first token of the morning may be the thief's."""
    warm.issuers.publish(A, "a2")
    warm.clock.now += 8 * HOUR

    assert warm.cache.peek(A, "a1") is None
    with pytest.raises(UnknownKeyError):
        warm.cache.resolve(A, "a1")


def test_a_failure_of_yesterday_excuses_no_stale_key(warm: World) -> None:
    """K15: stale keys count while the issuer is failing, not because it once did."""
    warm.issuers.break_down(A)
    warm.clock.now += 500
    warm.kids(A, "a1")
    warm.run_background()
    warm.issuers.publish(A, "a2")
    warm.clock.now += 8 * HOUR

    assert warm.cache.peek(A, "a1") is None


@pytest.mark.parametrize("age_seconds, accepted", [(24 * HOUR - 1, True), (24 * HOUR, False)])
def test_keys_that_nobody_confirmed_die_after_a_day(warm: World, age_seconds: float, accepted: bool) -> None:
    """K02: hard staleness, and then it is an outage."""
    warm.issuers.break_down(A)
    warm.clock.now += age_seconds
    if accepted:
        assert warm.kids(A, "a1") == ["a1"]
    else:
        with pytest.raises(UnavailableError):
            warm.kids(A, "a1")


def test_a_failing_issuer_is_excused_for_a_day_and_no_longer(warm: World) -> None:
    """K02: also in the moments after a failure, when stale keys are otherwise served."""
    warm.issuers.break_down(A)
    warm.clock.now += 24 * HOUR - 10
    warm.kids(A, "a1")

    assert warm.cache.peek(A, "a1") is not None
    warm.clock.now += 10
    assert warm.cache.peek(A, "a1") is None


def test_the_age_counts_from_the_start_of_the_fetch(world: World) -> None:
    """K02: a slow answer is an old answer."""

    def dawdle() -> None:
        world.clock.now += 5

    world.issuers.during = dawdle
    world.kids(A, "a1")
    world.clock.now += 475

    assert world.cache.peek(A, "a1") is not None
    assert len(world.background) == 1


# --- unknown keys ---


def test_a_key_that_a_later_fetch_lacks_is_unknown(warm: World) -> None:
    """K06: a refusal, because we asked after the token came."""
    warm.clock.now += 30
    with pytest.raises(UnknownKeyError):
        warm.cache.resolve(A, "nope")

    assert len(warm.issuers.fetches) == 2


def test_a_flood_of_unknown_keys_makes_one_fetch_in_30_seconds(warm: World) -> None:
    """K03, T29: and what we do not know in between is not refused."""
    outcomes = []
    for second in range(91):
        for number in range(20):
            with pytest.raises((UnknownKeyError, UnavailableError)) as caught:
                warm.cache.resolve(A, f"random-{second}-{number}")
            outcomes.append(type(caught.value))
            if isinstance(caught.value, UnavailableError):
                assert 1 <= caught.value.retry_after <= 30
        warm.clock.now += 1

    assert len(warm.issuers.fetches) == 1 + 4  # the first, then for the flood at 0, 30, 60 and 90 s
    assert outcomes.count(UnknownKeyError) == 4


def test_known_keys_do_not_notice_a_flood(warm: World) -> None:
    """K03: nor the cool-down, nor a fetch under way."""

    def look() -> None:
        assert warm.cache.peek(A, "a1") is not None

    warm.clock.now += 31
    warm.issuers.during = look
    with pytest.raises(UnknownKeyError):
        warm.cache.resolve(A, "random")
    assert warm.cache.peek(A, "a1") is not None


@pytest.mark.parametrize("down", [True, False])
def test_the_cooldown_starts_with_the_attempt_and_counts_failures(warm: World, down: bool) -> None:
    """K03: a slow or failing issuer is not asked back to back."""

    def dawdle() -> None:
        warm.clock.now += 7

    warm.clock.now += 60
    if down:
        warm.issuers.break_down(A)
    warm.issuers.during = dawdle
    with pytest.raises((UnknownKeyError, UnavailableError)):
        warm.cache.resolve(A, "x")
    fetches = len(warm.issuers.fetches)
    warm.clock.now += 22.9  # 29.9 s after the start
    with pytest.raises(UnavailableError) as caught:
        warm.cache.resolve(A, "y")

    assert len(warm.issuers.fetches) == fetches
    assert caught.value.retry_after == pytest.approx(1)
    warm.clock.now += 0.1
    with pytest.raises((UnknownKeyError, UnavailableError)):
        warm.cache.resolve(A, "z")
    assert len(warm.issuers.fetches) == fetches + 1


def test_a_new_key_is_found_at_once_when_nothing_else_was_asked(warm: World) -> None:
    """K03: a rotation costs the first token one fetch, and no wait: also right after the set was fetched by routine."""
    warm.issuers.publish(A, "a1", "a2")

    assert warm.kids(A, "a2") == ["a2"]
    warm.clock.now += 500
    assert warm.kids(A, "a1") == ["a1"]
    assert warm.run_background() == 1
    warm.issuers.publish(A, "a2", "a3")
    assert warm.kids(A, "a3") == ["a3"]


def test_an_unknown_key_while_the_issuer_is_down_is_an_outage(warm: World) -> None:
    """K06, D9: on fresh and on stale keys."""
    warm.issuers.break_down(A)
    for age_seconds in (60, 2 * HOUR):
        warm.clock.now += age_seconds
        with pytest.raises(UnavailableError) as caught:
            warm.cache.resolve(A, "new")
        assert 1 <= caught.value.retry_after <= 30


# --- answers that must not replace a good set ---

BAD_ANSWERS: dict[str, bytes | Exception] = {
    "outage": TransportError("down", retryable=True),
    "refused": TransportError("policy", retryable=False),
    "unforeseen": RuntimeError("a mistake of ours"),
    "nothing": b"",
    "html": b"<html>",
    "list": b"[]",
    "no-keys": b"{}",
    "keys-null": b'{"keys": null}',
    "shrunk-to-zero": b'{"keys": []}',
    "only-odd-keys": b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "a1"}, 7, {}]}',
    "only-encryption": json.dumps({"keys": [{**jwk("a1"), "use": "enc"}]}).encode(),
    "no-kid": json.dumps({"keys": [{key: value for key, value in jwk("a1").items() if key != "kid"}]}).encode(),
    "65-keys": json.dumps({"keys": [{**jwk("a1"), "kid": f"k{n}"} for n in range(65)]}).encode(),
    "repeated-name": b'{"keys": [], ' + document("a1")[1:],
    "deep": b'{"keys": ' + b"[" * 20_000,
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_bad_answer_never_replaces_a_good_set(warm: World, answer: bytes | Exception) -> None:
    """K05, T31: known keys go on, unknown ones are an outage."""
    warm.issuers.published[cast(str, A.jwks_uri)] = answer
    warm.clock.now += 60
    with pytest.raises(UnavailableError):
        warm.cache.resolve(A, "new")

    assert warm.cache.peek(A, "a1") is not None
    warm.clock.now += 2 * HOUR
    assert warm.kids(A, "a1") == ["a1"]


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_bad_first_answer_is_an_outage(world: World, answer: bytes | Exception) -> None:
    """K05, K07: tried once, then a pause."""
    world.issuers.published[cast(str, A.jwks_uri)] = answer
    for _ in range(3):
        with pytest.raises(UnavailableError) as caught:
            world.kids(A, "a1")
        assert 1 <= caught.value.retry_after <= 30

    assert len(world.issuers.fetches) == 1
    world.issuers.publish(A, "a1")
    world.clock.now += 30
    assert world.kids(A, "a1") == ["a1"]


def test_odd_keys_are_skipped_and_64_are_enough(world: World) -> None:
    """K08, T32: one new kind of key does not take the issuer down."""
    odd: list[object] = [{"kty": "AKP", "kid": "future"}, "text", None, {**jwk("rsa", "RS256"), "n": "AQAB"}]
    good = [{**jwk("a1"), "kid": f"k{number}"} for number in range(59)]
    world.issuers.published[cast(str, A.jwks_uri)] = json.dumps({"keys": [*odd, *good, jwk("rsa", "RS256")]}).encode()

    assert world.kids(A, "rsa") == ["rsa"]
    assert world.kids(A, "k58") == ["k58"]


# --- what is asked for ---


def test_an_unchanged_set_is_confirmed_without_being_sent(world: World) -> None:
    """K11: a 304 renews freshness."""
    world.issuers.etags[cast(str, A.jwks_uri)] = '"v1"'
    world.kids(A, "a1")
    for _ in range(3):
        world.clock.now += 599
        assert world.cache.peek(A, "a1") is not None
        world.run_background()

    assert world.issuers.sent_etags == [None, '"v1"', '"v1"', '"v1"']
    world.clock.now += 400
    assert world.cache.peek(A, "a1") is not None
    with pytest.raises(UnknownKeyError):
        world.cache.resolve(A, "nope")  # a 304 says as well as any answer what is published


def test_a_304_that_nobody_asked_for_is_no_answer(world: World) -> None:
    """K11, K05: we hold nothing that it could confirm."""

    class Liar(Issuers):
        def fetch(self, url: str, **_: object) -> Fetched:
            return Fetched(None)

    with pytest.raises(UnavailableError) as caught:
        JwksCache(Liar(), clock=world.clock).refresh_now(A)

    assert isinstance(caught.value.__cause__, TransportError)


def test_discovery_is_asked_each_time_so_that_a_moved_key_set_is_found() -> None:
    """K09, K11: an issuer may move its keys and rotate them; the old tag is not sent to the new place."""
    world = make_world()
    issuer = Issuer(id=3, url="https://c.example", kind="generic")
    where = "https://c.example/.well-known/openid-configuration"

    def publish_at(path: str, kid: str) -> None:
        uri = f"https://c.example/{path}"
        world.issuers.published = {
            where: json.dumps({"issuer": issuer.url, "jwks_uri": uri}).encode(),
            uri: document(kid),
        }
        world.issuers.etags[uri] = '"same"'

    publish_at("old", "c1")
    assert world.kids(issuer, "c1") == ["c1"]
    publish_at("new", "c2")
    world.clock.now += 30

    assert world.kids(issuer, "c2") == ["c2"]
    assert world.issuers.sent_etags == [None] * 4


def test_all_issuers_together_have_a_budget() -> None:
    """S07: a list of known issuers is not an amplifier; aged sets keep their half of it."""
    world = make_world(fetches_per_minute=10)
    issuers = [
        Issuer(id=n, url=f"https://i{n}.example", kind="generic", jwks_uri=f"https://i{n}.example/keys")
        for n in range(20)
    ]
    for issuer in issuers:
        world.issuers.publish(issuer, "k")
    for issuer in issuers[:3]:
        world.kids(issuer, "k")
    world.clock.now += 480  # the three are due, the others cold
    for issuer in issuers[3:8]:
        with pytest.raises(UnknownKeyError):
            world.cache.resolve(issuer, "random")
    for issuer in issuers[8:]:
        with pytest.raises(UnavailableError) as caught:
            world.cache.resolve(issuer, "random")
        assert 1 <= caught.value.retry_after <= 60
    assert len(world.issuers.fetches) == 3 + 5

    for issuer in issuers[:3]:
        assert world.kids(issuer, "k") == ["k"]
    assert world.run_background() == 3
    assert len(world.issuers.fetches) == 3 + 5 + 3
    world.clock.now += 60
    assert world.kids(issuers[19], "k") == ["k"]


# --- operators ---


def test_refresh_now_does_not_wait_for_the_cooldown(warm: World) -> None:
    """K15: an operator who knows better."""
    warm.issuers.publish(A, "a2")

    assert warm.cache.refresh_now(A) == {"a2"}
    assert warm.cache.peek(A, "a1") is None


def test_refresh_now_tells_an_operator_why_it_failed(warm: World) -> None:
    """S08, K05: the cause is for operators, and the set stays."""
    warm.issuers.break_down(A)
    with pytest.raises(UnavailableError) as caught:
        warm.cache.refresh_now(A)

    assert isinstance(caught.value.__cause__, TransportError)
    assert warm.cache.peek(A, "a1") is not None


def test_a_distrusted_key_is_dead_at_once_and_stays_dead(warm: World) -> None:
    """K15, T33: whatever the issuer goes on publishing; other keys and issuers are not touched."""
    warm.issuers.publish(A, "a1", "a2")
    warm.issuers.publish(B, "a1")
    warm.cache.refresh_now(A)
    distrusting = dataclasses.replace(A, distrusted_kids=frozenset({"a1"}))

    assert warm.cache.peek(distrusting, "a1") is None
    assert warm.cache.refresh_now(distrusting) == {"a2"}
    fetches = len(warm.issuers.fetches)
    with pytest.raises(UnknownKeyError):
        warm.cache.resolve(distrusting, "a1")
    assert len(warm.issuers.fetches) == fetches
    assert warm.kids(distrusting, "a2") == ["a2"]
    assert warm.kids(B, "a1") == ["a1"]


def test_a_refresh_that_was_asked_for_comes_before_the_next_token(warm: World) -> None:
    """K15: the key that the issuer withdrew is dead, without regard to age and cool-down; asked once, fetched once."""
    warm.issuers.publish(A, "a2")
    assert warm.kids(A, "a1") == ["a1"]
    asked = dataclasses.replace(A, key_refreshes=1)
    fetches = len(warm.issuers.fetches)

    with pytest.raises(UnknownKeyError):
        warm.kids(asked, "a1")
    assert warm.kids(asked, "a2") == ["a2"]
    assert len(warm.issuers.fetches) == fetches + 1


def test_a_refresh_that_fails_keeps_the_set_and_is_tried_again(warm: World) -> None:
    """K15, K05: an operator's question to an issuer that is down must not become an outage for its good tokens."""
    warm.issuers.break_down(A)
    asked = dataclasses.replace(A, key_refreshes=1)
    fetches = len(warm.issuers.fetches)

    assert warm.kids(asked, "a1") == ["a1"]
    assert warm.kids(asked, "a1") == ["a1"]
    assert len(warm.issuers.fetches) == fetches + 1
    warm.issuers.publish(A, "a1", "a2")
    warm.clock.now += 30
    assert warm.kids(asked, "a1") == ["a1"]
    assert warm.run_background() == 1
    assert warm.kids(asked, "a2") == ["a2"]


# --- observers ---


def test_the_keys_of_each_fetch_are_told(warm: World) -> None:
    """T37: whoever watches for a set that was swapped whole sees them all, the confirmed ones too."""
    warm.issuers.publish(A, "n1", "n2")
    warm.cache.refresh_now(A)
    warm.cache.refresh_now(A)

    new = (A.id, frozenset({"n1", "n2"}))
    assert warm.told == [(A.id, frozenset({"a1"})), new, new]


def test_the_difference_of_the_clocks_is_told(world: World) -> None:
    """T53: the issuer's `Date` against our wall clock."""
    world.issuers.date = 1_800_000_042.0
    world.kids(A, "a1")

    assert world.skews == [42.0]


def test_an_observers_mistake_changes_nothing(world: World) -> None:
    """T37, T53: an alarm must not become an outage."""

    def fail(*_: object) -> None:
        raise RuntimeError

    world.issuers.date = 0.0
    cache = JwksCache(world.issuers, clock=world.clock, on_keys=fail, on_clock_skew=fail)

    assert cache.resolve(A, "a1")
    world.issuers.publish(A, "a2")
    assert cache.refresh_now(A) == {"a2"}


def test_what_a_token_says_is_not_logged(warm: World, caplog: pytest.LogCaptureFixture) -> None:
    """T40, T18: logs name issuers by their id."""
    warm.issuers.break_down(A)
    warm.clock.now += 60
    with caplog.at_level(logging.DEBUG), pytest.raises(UnavailableError) as caught:
        warm.cache.resolve(A, "chosen-by-a-stranger")

    assert "keys of issuer 1: down" in caplog.text
    assert "chosen" not in caplog.text + str(caught.value)


def test_a_machine_without_threads_is_an_outage_at_most(warm: World) -> None:
    """K02: the refresh failed like any other; known keys go on."""

    def no_thread(_work: Callable[[], object]) -> None:
        raise RuntimeError("can't start new thread")

    warm.cache._spawn = no_thread
    warm.clock.now += 500

    assert warm.cache.peek(A, "a1") is not None
    assert warm.cache._entries[A.id].flight is None
    warm.clock.now += 200
    assert warm.kids(A, "a1") == ["a1"]
