"""The clock stands still until it is moved."""

from __future__ import annotations

import time

from keyless.testing import Clock


def test_it_stands_still_and_moves_on_request() -> None:
    """V11: a test decides how much time has passed."""
    clock = Clock(100.0)
    clock.advance(5)
    moved = clock()
    clock.set(50.0)

    assert (moved, clock()) == (105.0, 50.0)


def test_it_can_start_now() -> None:
    """A test that talks to a real service needs the real time."""
    assert abs(Clock(None)() - time.time()) < 5
