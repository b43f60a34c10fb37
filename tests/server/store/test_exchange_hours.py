from __future__ import annotations

import pytest

from keyless.server.audit.event import EventKind
from keyless.server.store import exchange_hours
from keyless.server.store.exchange_hours import HOUR_SECONDS, SETTLED_SECONDS, HourCount
from tests.server.store.world import START, World

HOUR = START // HOUR_SECONDS
GRANTED, REFUSED = EventKind.TOKEN_GRANTED.value, EventKind.EXCHANGE_REFUSED.value


def test_exchanges_count_at_once_and_once_for_good(world: World) -> None:
    """D15: what a page shows is what the audit holds, before and after housekeeping counted it."""
    world.store.commit([world.grant(), world.grant(), world.refusal()])
    seen = [HourCount(HOUR, REFUSED, "no_matching_publisher", 1), HourCount(HOUR, GRANTED, "", 2)]
    assert world.store.exchange_hours(None) == seen

    for _ in range(3):
        world.clock.now += SETTLED_SECONDS + 1
        world.store.count_exchanges()
        assert world.store.exchange_hours(None) == seen
    assert world.rows("SELECT count(*) FROM exchange_hour WHERE namespace = ''") == [(2,)]

    world.store.commit([world.grant()])

    assert world.store.exchange_hours(None)[-1] == HourCount(HOUR, GRANTED, "", 3)


def test_who_sees_some_namespaces_sees_their_exchanges_alone(world: World) -> None:
    """T94, T113: no number tells of others."""
    world.store.commit([world.grant(), world.refusal(resource="models/other/thing"), world.refusal(resource=None)])
    for _ in range(2):
        assert world.store.exchange_hours(["acme"]) == [HourCount(HOUR, GRANTED, "", 1)]
        assert [c.exchanges for c in world.store.exchange_hours(["other"])] == [1]
        assert [c.exchanges for c in world.store.exchange_hours(None)] == [2, 1]
        assert world.store.exchange_hours(["acm"]) == []
        world.clock.now += SETTLED_SECONDS + 1
        world.store.count_exchanges()


def test_two_replicas_count_nothing_twice(world: World) -> None:
    """D4: whoever is second adds nothing."""
    world.store.commit([world.grant()])
    world.clock.now += SETTLED_SECONDS + 1
    now = int(world.clock())
    with world.store._aside() as connection:
        first, second = (exchange_hours.count_step(connection, now) for _ in range(2))
    assert first is not None
    assert second is not None

    with world.store._writing(alone=False) as cursor:
        assert exchange_hours.add_step(cursor, first, now)
    with world.store._writing(alone=False) as cursor:
        assert not exchange_hours.add_step(cursor, second, now)

    assert world.store.exchange_hours(None) == [HourCount(HOUR, GRANTED, "", 1)]


def test_a_day_is_counted_in_steps_and_then_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: the backlog of a database that nobody counted yet, more events in one second than a step holds."""
    step = exchange_hours._STEP.replace(str(exchange_hours.STEP_ROWS), "7")
    monkeypatch.setattr(exchange_hours, "_STEP", step)
    world.store.commit([world.grant(issued_at=START - age) for age in (26 * HOUR_SECONDS, 3 * HOUR_SECONDS, 90, 80)])
    world.store.commit([world.refusal(at=START - 3 * HOUR_SECONDS + i // 20) for i in range(60)])

    world.store.count_exchanges()

    assert sum(c.exchanges for c in world.store.exchange_hours(None)) == 63
    world.clock.now += 26 * HOUR_SECONDS
    world.store.commit([world.grant()])
    world.clock.now += SETTLED_SECONDS + 1
    world.store.count_exchanges()
    assert [c.exchanges for c in world.store.exchange_hours(None)] == [1]
    assert world.rows("SELECT min(hour) FROM exchange_hour")[0][0] >= HOUR + 26
