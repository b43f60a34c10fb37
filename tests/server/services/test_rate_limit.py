"""How often somebody may ask (T105)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import RateLimitedError
from keyless.server.services.rate_limit import RateLimit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowed(limit: RateLimit, caller: str, times: int) -> int:
    """Return how many of so many requests pass."""
    passed = 0
    for _ in range(times):
        try:
            limit.spend(caller)
        except RateLimitedError:
            continue
        passed += 1
    return passed


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    """T105: the allowance comes back at the sustained rate, and never exceeds the burst."""
    clock = Clock()
    limit = RateLimit(60, 10, monotonic=clock)
    assert allowed(limit, "a", 20) == 10
    clock.now += 1
    assert allowed(limit, "a", 5) == 1
    clock.now += 3600
    assert allowed(limit, "a", 20) == 10


def test_one_caller_takes_nothing_from_another() -> None:
    """T105: hosted runners share addresses, so nobody may starve the rest."""
    limit = RateLimit(60, 1, monotonic=Clock())
    assert allowed(limit, "a", 3) == 1
    assert allowed(limit, "b", 3) == 1


def test_the_refusal_says_when_to_come_back() -> None:
    """D9: whoever waits so long passes, and whoever comes sooner does not."""
    clock = Clock()
    limit = RateLimit(30, 1, monotonic=clock)
    limit.spend("a")
    with pytest.raises(RateLimitedError) as refused:
        limit.spend("a")
    assert refused.value.retry_after == pytest.approx(2)
    clock.now += 1.9
    assert allowed(limit, "a", 1) == 0
    clock.now += 0.1 + 1e-9
    assert allowed(limit, "a", 1) == 1


def test_callers_without_number_take_no_memory_without_number() -> None:
    """T105: who has been quiet longest is forgotten."""
    limit = RateLimit(60, 1, max_callers=100, monotonic=Clock())
    for number in range(1000):
        limit.spend(number)
    assert len(limit) == 100


def test_zero_is_any_number() -> None:
    """The setting's off switch remembers nobody."""
    limit = RateLimit(0, 0, monotonic=Clock())
    assert allowed(limit, "a", 1000) == 1000
    assert len(limit) == 0


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 600), st.integers(1, 20))
def test_no_pattern_of_requests_gets_more_than_the_rate(gaps: list[float], per_minute: int, burst: int) -> None:
    """T105: in any stretch of time no more than the burst and what the rate gives in it."""
    clock = Clock()
    limit = RateLimit(per_minute, burst, monotonic=clock)
    passed: list[float] = []
    for gap in gaps:
        clock.now += gap
        if allowed(limit, "a", 1):
            passed.append(clock.now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            stretch = passed[last] - start
            assert last - first + 1 <= burst + stretch * per_minute / 60 + 1e-6
