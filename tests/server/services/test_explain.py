"""How often an identity may ask."""

from __future__ import annotations

import pytest

from keyless.errors import RateLimitedError
from keyless.server.services import explain
from keyless.server.services.explain import QUESTIONS_PER_IDENTITY, WINDOW_SECONDS, QuestionBudget
from keyless.testing.clock import Clock


@pytest.fixture
def clock() -> Clock:
    """Stand at the beginning of a window."""
    return Clock(WINDOW_SECONDS * 1000.0)


def spend_all(budget: QuestionBudget, identity: str = "acme") -> None:
    """Use up an identity's questions."""
    for _ in range(QUESTIONS_PER_IDENTITY):
        budget.spend(1, identity)


def test_one_question_too_many_waits_for_the_rest_of_the_window(clock: Clock) -> None:
    """D12, T105."""
    budget = QuestionBudget(clock=clock)
    clock.advance(20)
    spend_all(budget)

    with pytest.raises(RateLimitedError) as caught:
        budget.spend(1, "acme")
    assert caught.value.retry_after == WINDOW_SECONDS - 20


def test_others_are_not_kept_waiting(clock: Clock) -> None:
    """T105, T112: the same ids of another issuer are another identity."""
    budget = QuestionBudget(clock=clock)
    spend_all(budget)

    budget.spend(1, "other")
    budget.spend(2, "acme")


@pytest.mark.parametrize("seconds", [WINDOW_SECONDS, -WINDOW_SECONDS])
def test_the_next_window_begins_anew(clock: Clock, seconds: float) -> None:
    """T53: also when the clock jumps back."""
    budget = QuestionBudget(clock=clock)
    spend_all(budget)
    clock.advance(seconds)

    budget.spend(1, "acme")


def test_memory_is_bounded_and_nobody_is_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """T40: a crowd of identities makes the last one wait, not the first one free."""
    monkeypatch.setattr(explain, "MAX_IDENTITIES", 3)
    budget = QuestionBudget(clock=clock)
    spend_all(budget, "first")
    budget.spend(1, "second")
    budget.spend(1, "third")

    for identity in ("fourth", "first"):
        with pytest.raises(RateLimitedError):
            budget.spend(1, identity)
    budget.spend(1, "second")
