"""An outsider cannot fill the disk with refusals."""

from __future__ import annotations

import pytest

from keyless.server.services.refusals import (
    ROWS_IN_ALL,
    ROWS_PER_IDENTITY,
    ROWS_PER_ISSUER,
    WINDOW_SECONDS,
    RefusalBudget,
)
from keyless.testing.clock import Clock


@pytest.fixture
def clock() -> Clock:
    """Stand at the beginning of a window."""
    return Clock(WINDOW_SECONDS * 1000.0)


def test_an_identity_has_a_number_of_rows(clock: Clock) -> None:
    """D15: what goes over is counted, not kept."""
    budget = RefusalBudget(clock=clock)
    spent = [budget.spend(1, "acme") for _ in range(ROWS_PER_IDENTITY + 5)]

    assert spent == [True] * ROWS_PER_IDENTITY + [False] * 5
    assert budget.dropped == 5


def test_what_was_no_refusal_is_given_back(clock: Clock) -> None:
    """D15: whoever is granted a thousand tokens a minute still has rows for refusals, and takes no memory."""
    budget = RefusalBudget(clock=clock)
    for number in range(5000):
        window = budget.reserve(1, f"acme-{number % 7}")
        assert window is not None
        budget.give_back(1, f"acme-{number % 7}", window)
    window = budget.reserve(1, "acme")
    assert window is not None
    clock.advance(WINDOW_SECONDS)
    assert all(budget.spend(1, "acme") for _ in range(ROWS_PER_IDENTITY))
    budget.give_back(1, "acme", window)  # of the minute before

    assert not budget.spend(1, "acme")
    assert budget.dropped == 1


def test_one_identity_does_not_use_up_anothers_rows(clock: Clock) -> None:
    """D15, T105."""
    budget = RefusalBudget(clock=clock)
    for _ in range(1000):
        budget.spend(1, "loud")

    assert budget.spend(1, "quiet")


def test_all_together_have_a_number_of_rows(clock: Clock) -> None:
    """D15, T108: many identities and many issuers are no way round the bound."""
    budget = RefusalBudget(clock=clock)
    spent = sum(budget.spend(n % 3, str(n)) for n in range(ROWS_IN_ALL + 100))

    assert spent == ROWS_IN_ALL
    assert budget.dropped == 100


def test_one_issuer_leaves_rows_for_the_others(clock: Clock) -> None:
    """D15, T105: whoever owns sixty repositories on one platform silences nobody on another."""
    budget = RefusalBudget(clock=clock)
    spent = sum(budget.spend(1, str(n)) for n in range(ROWS_IN_ALL))

    assert spent == ROWS_PER_ISSUER
    assert budget.spend(2, "acme")


@pytest.mark.parametrize(("seconds", "allowed"), [(WINDOW_SECONDS - 0.001, False), (WINDOW_SECONDS, True)])
def test_the_next_window_begins_anew(clock: Clock, seconds: float, allowed: bool) -> None:
    """D15."""
    budget = RefusalBudget(clock=clock)
    for _ in range(ROWS_PER_IDENTITY):
        budget.spend(1, "acme")
    clock.advance(seconds)

    assert budget.spend(1, "acme") is allowed


def test_a_clock_that_jumps_back_begins_anew_and_fails_nobody(clock: Clock) -> None:
    """T53."""
    budget = RefusalBudget(clock=clock)
    for _ in range(ROWS_PER_IDENTITY):
        budget.spend(1, "acme")
    clock.advance(-3600)

    assert budget.spend(1, "acme")


def test_memory_is_bounded(clock: Clock) -> None:
    """T40: identities come from tokens; only those with a row are remembered."""
    budget = RefusalBudget(clock=clock)
    for n in range(ROWS_IN_ALL * 3):
        budget.spend(n % 5, str(n))

    assert len(budget._spent) <= ROWS_IN_ALL
