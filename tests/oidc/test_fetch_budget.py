"""The budget of fetches for all issuers together (S07)."""

from __future__ import annotations

import pytest

from keyless.oidc.fetch_budget import FetchBudget


def test_no_60_seconds_hold_more_than_the_budget() -> None:
    """S07: a sliding window, not a bucket that empties at the full minute."""
    budget = FetchBudget(4)
    taken = [second for second in range(180) if budget.take(float(second), forced=False) == 0]

    assert taken == [0, 1, 2, 3, 60, 61, 62, 63, 120, 121, 122, 123]


def test_what_strangers_can_cause_gets_half() -> None:
    """S07, K15: the other half refreshes what is held."""
    budget = FetchBudget(4)
    forced = [budget.take(0, forced=True) for _ in range(4)]
    routine = [budget.take(10, forced=False) for _ in range(3)]

    assert forced == [0, 0, 60, 60]
    assert routine == [0, 0, 50]
    assert budget.take(10, forced=True) == 50


def test_routine_does_not_count_against_strangers_share() -> None:
    """S07: a morning of refreshes leaves room for a cold issuer."""
    budget = FetchBudget(4)
    for _ in range(2):
        budget.take(0, forced=False)

    assert [budget.take(0, forced=True) for _ in range(2)] == [0, 0]


def test_a_budget_that_fetches_nothing_is_a_mistake() -> None:
    """S07: half of it must be at least one."""
    with pytest.raises(ValueError, match="at least 2"):
        FetchBudget(1)
