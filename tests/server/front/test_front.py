"""What a listener does with many at once (D17)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from keyless.server.doors.http import HttpAnswer
from keyless.server.front import front as module
from keyless.server.front.front import MIN_CROWD
from keyless.server.services.trail import Caller
from tests.server.front.wire import Door, Wire, open_wire, parse_answers, token_request

EXCHANGE_SECONDS = 0.001


class Clock:
    """Seconds that pass when the test, or its door, says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SlowDoor(Door):
    """A door whose work takes time, and whose answers take longer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(holds=True)
        self._clock = clock

    def begin(self, content_type: str, body: bytes, caller: Caller, reply: Callable[[HttpAnswer], None]) -> None:
        """Take a millisecond."""
        self._clock.now += EXCHANGE_SECONDS
        super().begin(content_type, body, caller, reply)


async def turns(clock: Clock, sizes: list[int], *, pause: float = 0.0) -> list[Counter[int]]:
    """Let crowds of these sizes come, each read in one turn, and return what each was answered."""
    door = SlowDoor(clock)
    first = open_wire(door=door)
    answered = []
    for size in sizes:
        wires = [first.another() for _ in range(size)]
        for wire in wires:
            wire.connection.data_received(token_request(b"a=b"))
        await first.settle()
        while door.held:
            door.held.pop()()
        answered.append(Counter(status for wire in wires for status, _, _ in parse_answers(wire.transport.sent)))
        clock.now += pause
    return answered


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that admission and requests look at."""
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr("keyless.server.front.requests.perf_counter", clock)
    return clock


def test_a_crowd_that_comes_once_is_served(clock: Clock) -> None:
    """D17: two hundred jobs of one matrix at the same moment, every few seconds: nobody is refused."""
    answered = asyncio.run(turns(clock, [200, 200, 200], pause=5))
    assert answered == [Counter({200: 200})] * 3


def test_a_crowd_that_comes_again_and_again_is_thinned_out(clock: Clock) -> None:
    """D17: where there is more work than time, who waited long enough is served, the others get 503 at once."""
    answered = asyncio.run(turns(clock, [200, 200, 200, 200]))
    assert answered[0] == Counter({200: 200})
    assert answered[2] == answered[3] == Counter({503: 200 - MIN_CROWD, 200: MIN_CROWD})


def test_a_few_are_never_a_crowd(clock: Clock) -> None:
    """D17: on a machine that is slow at the moment, those that a small service has at once are served."""
    answered = asyncio.run(turns(clock, [90] * 20))
    assert answered == [Counter({200: 90})] * 20


def test_who_is_shed_is_told_when_to_come_again(clock: Clock) -> None:
    """D9: 503 with `Retry-After`, on a connection that goes on."""

    async def play() -> Wire:
        await turns(clock, [200, 200])
        door = SlowDoor(clock)
        first = open_wire(door=door)
        wires = [first.another() for _ in range(600)]
        for wire in wires:
            wire.connection.data_received(token_request(b"a=b"))
        await first.settle()
        return wires[-1]

    wire = asyncio.run(play())
    ((status, headers, _),) = wire.answers
    assert (status, headers["retry-after"]) == (503, "1")
    assert wire.is_open
