from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from keyless.errors import TransportError, UnavailableError, UnknownKeyError
from keyless.jose.signing import SigningKey
from keyless.verifier.keys import COOLDOWN_SECONDS, FRESH_SECONDS, STALE_SECONDS, KeyCache

OLD, NEW = SigningKey.generate(), SigningKey.generate()
DOWN = TransportError("down", retryable=True)


def jwks(*keys: SigningKey) -> bytes:
    return json.dumps({"keys": [key.public_jwk() for key in keys]}).encode()


class Service:
    """Answer the next of a list of documents or failures; time stands still until it is moved."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.fetches = 0
        self.now = 1000.0
        self.cache = KeyCache("https://keyless.example.org/oauth/jwks", self._fetch, monotonic=lambda: self.now)

    def _fetch(self, url: str) -> bytes:
        assert url == "https://keyless.example.org/oauth/jwks"
        self.fetches += 1
        answer = self.answers[min(self.fetches, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_known_key_is_fetched_once() -> None:
    """K02: inside the fresh time nobody is asked."""
    service = Service(jwks(OLD))
    for _ in range(5):
        service.cache.get(OLD.kid)
        service.now += FRESH_SECONDS / 5

    assert service.fetches == 1


def test_unknown_key_is_asked_for_once_per_cool_down() -> None:
    """K03, K06: the fetch that found nothing is a refusal; while no other may be made it is an outage."""
    service = Service(jwks(OLD))
    service.cache.get(OLD.kid)
    service.now += COOLDOWN_SECONDS
    with pytest.raises(UnknownKeyError):
        service.cache.get("invented")

    for number in range(50):
        with pytest.raises(UnavailableError) as caught:
            service.cache.get(f"invented-{number}")
        assert caught.value.retry_after == COOLDOWN_SECONDS

    assert service.fetches == 2


def test_rotated_key_is_found_after_the_cool_down() -> None:
    """K03, D9: during the cool-down a genuine new key is an outage, never a refusal; then it is good."""
    service = Service(jwks(OLD), jwks(OLD, NEW))
    service.cache.get(OLD.kid)
    with pytest.raises(UnavailableError):
        service.cache.get(NEW.kid)
    service.now += COOLDOWN_SECONDS

    assert NEW.kid in service.cache.get(NEW.kid).kids


@pytest.mark.parametrize(
    "failure",
    [DOWN, b"", b"<html>", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}'],
    ids=["down", "empty", "html", "list", "no-keys", "no-usable-key"],
)
def test_failed_fetch_never_replaces_a_good_set(failure: bytes | Exception) -> None:
    """K05: neither silence nor nonsense takes known keys away."""
    service = Service(jwks(OLD), failure)
    service.cache.get(OLD.kid)
    service.now += FRESH_SECONDS + 1

    assert OLD.kid in service.cache.get(OLD.kid).kids
    assert service.fetches == 2


def test_slow_failures_are_not_asked_for_back_to_back() -> None:
    """K03: the cool-down counts from the start of the attempt and for failed ones too."""
    service = Service(DOWN)
    for _ in range(10):
        with pytest.raises(UnavailableError):
            service.cache.get(OLD.kid)
        service.now += COOLDOWN_SECONDS / 10

    assert service.fetches == 1


def test_cold_outage_is_an_outage() -> None:
    """D9, K06: with no keys at all the answer is "try again", not "refused"."""
    with pytest.raises(UnavailableError):
        Service(DOWN).cache.get(OLD.kid)


def test_withdrawn_key_is_forgotten_after_the_fresh_time() -> None:
    """K15: what the service no longer publishes is no longer believed."""
    service = Service(jwks(OLD, NEW), jwks(NEW))
    service.cache.get(OLD.kid)
    service.now += FRESH_SECONDS + 1

    with pytest.raises(UnknownKeyError):
        service.cache.get(OLD.kid)


def test_keys_nobody_confirmed_for_a_day_are_not_believed() -> None:
    """K02: staleness has an end."""
    service = Service(jwks(OLD), DOWN)
    service.cache.get(OLD.kid)
    service.now += STALE_SECONDS + 1

    with pytest.raises(UnavailableError):
        service.cache.get(OLD.kid)


def in_threads(count: int, work: Callable[[], object]) -> list[object]:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001  # the test looks at it
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_concurrent_misses_share_one_fetch() -> None:
    """K04: thirty-two threads at once cause one request and all get the keys."""
    fetches = 0
    begun, gate = threading.Event(), threading.Event()

    def fetch(_url: str) -> bytes:
        nonlocal fetches
        fetches += 1
        begun.set()
        gate.wait(5)
        return jwks(OLD)

    cache = KeyCache("https://keyless.example.org/oauth/jwks", fetch)
    threading.Timer(0.05, gate.set).start()
    results = in_threads(32, lambda: OLD.kid in cache.get(OLD.kid).kids)

    assert begun.is_set()
    assert [True] * 32 == results
    assert fetches == 1


def test_nobody_waits_for_a_refresh_of_a_known_key() -> None:
    """K02: one caller refreshes; for the others the set is still good."""
    gate, refreshing = threading.Event(), threading.Event()
    now = 0.0
    fetches = 0

    def fetch(_url: str) -> bytes:
        nonlocal fetches
        fetches += 1
        if fetches == 2:
            refreshing.set()
            gate.wait(5)
        return jwks(OLD)

    cache = KeyCache("https://keyless.example.org/oauth/jwks", fetch, monotonic=lambda: now)
    cache.get(OLD.kid)
    now = FRESH_SECONDS + 1
    refresher = threading.Thread(target=cache.get, args=(OLD.kid,))
    refresher.start()
    refreshing.wait(5)

    assert OLD.kid in cache.get(OLD.kid).kids  # would block for ever if it waited
    gate.set()
    refresher.join()
