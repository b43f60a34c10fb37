"""What is done now and then, and what is said when it cannot be."""

from __future__ import annotations

import logging
import threading

import pytest

from keyless.errors import UnavailableError
from keyless.server.services.housekeeping import Housekeeping


def do_until(jobs_done: threading.Event, *jobs: tuple[int, object]) -> None:
    """Run jobs, quickly, until one of them says that it is enough."""
    keeping = Housekeeping(jobs, round_seconds=0.001)  # type: ignore[arg-type]  # they are functions
    assert jobs_done.wait(20)
    keeping.close()


def test_each_job_has_its_turns() -> None:
    """D17: every so many rounds."""
    done: list[str] = []
    enough = threading.Event()

    def seldom() -> None:
        done.append("seldom")
        if done.count("seldom") == 3:
            enough.set()

    do_until(enough, (1, lambda: done.append("often")), (5, seldom))

    assert done[:18] == [*["often"] * 5, "seldom"] * 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnavailableError("the disk is full"), "housekeeping has to wait: the disk is full"),
        (KeyError("x"), "housekeeping failed"),
    ],
    ids=["outage", "bug"],
)
def test_a_job_that_goes_on_failing_goes_on_being_tried_and_is_said_once(
    caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    """D9: a log that says the same five times a second hides what matters."""
    tried: list[str] = []
    enough = threading.Event()

    def fail() -> None:
        tried.append("")
        if len(tried) == 20:
            enough.set()
        raise error

    with caplog.at_level(logging.WARNING, "keyless.server"):
        do_until(enough, (1, fail))

    assert len(tried) >= 20
    assert [record.getMessage() for record in caplog.records] == [said]


def test_a_job_that_recovered_is_said_again_when_it_fails_again(caplog: pytest.LogCaptureFixture) -> None:
    """D9: two outages are two lines."""
    tried: list[str] = []
    enough = threading.Event()

    def fail_twice() -> None:
        tried.append("")
        if len(tried) in {1, 3}:
            raise UnavailableError("gone")
        if len(tried) == 4:
            enough.set()

    with caplog.at_level(logging.WARNING, "keyless.server"):
        do_until(enough, (1, fail_twice))

    assert len(caplog.records) == 2
