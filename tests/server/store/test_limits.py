from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.server.store import Grant, Outcome, Verdict, open_store
from keyless.server.store.limits import ALARM_REASON, CAP_REASON
from tests.server.store.world import START, World

GRANTED, FULL, CHANGED = Verdict.GRANTED, Verdict.TOO_MANY_TOKENS, Verdict.PUBLISHER_CHANGED


def grants(world: World, count: int, **changes: Any) -> list[Grant]:
    return [world.grant(**changes) for _ in range(count)]


def verdicts(outcomes: Sequence[Outcome]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


# --- live tokens (T117) ----------------------------------------------------------------------------------------------


def test_a_publisher_gets_no_more_live_tokens_than_its_cap(world: World) -> None:
    """T117: within a batch and over batches; the id token stays unused, and the audit has the refusal."""
    outcomes = world.store.commit(grants(world, 2, max_live_tokens=3))
    outcomes += world.store.commit(grants(world, 3, max_live_tokens=3))

    assert verdicts(outcomes) == [GRANTED, GRANTED, GRANTED, FULL, FULL]
    assert outcomes[-1].room_at == START + 3600
    assert world.counts() == {"claims": 3, "tokens": 3, "grants": 3}
    assert world.rows("SELECT kind, reason FROM audit_event ORDER BY id DESC LIMIT 1") == [
        ("exchange.refused", "too_many_tokens")
    ]


def test_the_cap_is_of_one_publisher(world: World) -> None:
    """T117: nobody's tokens count against another."""
    other = world.add_publisher(claims={"repository": ["acme/other"]})
    batch = [*grants(world, 2, max_live_tokens=1), world.grant(publisher=other, max_live_tokens=1)]

    assert verdicts(world.store.commit(batch)) == [GRANTED, FULL, GRANTED]


@pytest.mark.parametrize("end", ["expires", "is revoked"])
def test_a_token_that_ends_makes_room(world: World, end: str) -> None:
    """T117: the cap counts what is live now, to the second."""
    first = world.grant(max_live_tokens=1, expires_at=START + 60)
    world.store.commit([first])
    world.clock.now += 59
    assert verdicts(world.store.commit([world.grant(max_live_tokens=1)])) == [FULL]
    if end == "expires":
        world.clock.now += 1
    else:
        world.store.revoke_token(first.jti, reason="test")

    assert verdicts(world.store.commit(grants(world, 2, max_live_tokens=1))) == [GRANTED, FULL]


def test_the_one_that_ends_first_can_make_room(world: World) -> None:
    """T117: with `revoke_oldest` the newest always goes through; each revocation is in the audit."""
    batch = [
        world.grant(max_live_tokens=2, revoke_oldest=True, expires_at=START + 1000 + number) for number in range(5)
    ]

    assert verdicts(world.store.commit(batch)) == [GRANTED] * 5
    states = [world.store.token_state(grant.jti) for grant in batch]
    assert [state.live for state in states if state] == [False, False, False, True, True]
    assert world.rows("SELECT count(*) FROM audit_event WHERE kind = 'token.revoked' AND reason = ?", CAP_REASON) == [
        (3,)
    ]
    assert world.store.verify_chain().intact


def test_zero_and_none_are_any_number(world: World) -> None:
    """T117: a publisher without a cap is not counted."""
    batch = [*grants(world, 5, max_live_tokens=0), *grants(world, 5)]

    assert verdicts(world.store.commit(batch)) == [GRANTED] * 10


def test_a_refused_use_does_not_count_as_a_token(world: World) -> None:
    """T50, T117: replays and changed publishers leave the cap where it was."""
    grant = world.grant(max_live_tokens=2)
    replay = dataclasses.replace(grant, jti="again")
    stale = world.grant(max_live_tokens=2, publisher_version=99)

    outcomes = world.store.commit([grant, replay, stale, world.grant(max_live_tokens=2)])

    assert verdicts(outcomes) == [GRANTED, Verdict.REPLAYED, CHANGED, GRANTED]


def test_room_made_for_a_grant_that_fails_is_taken_back(world: World) -> None:
    """T116, D15: a first use that loses its race undoes the revocation too, and the chain has no gap."""
    publisher = world.add_unpinned_publisher("acme/slow")
    ids = {"repository_id": "7", "repository_owner_id": "8"}
    held = world.grant(publisher=publisher, max_live_tokens=1)
    world.store.commit([held])
    grant = world.grant(publisher=publisher, max_live_tokens=1, revoke_oldest=True, first_use_pins={"sub": "odd"} | ids)

    assert verdicts(world.store.commit([grant])) == [CHANGED]
    state = world.store.token_state(held.jti)
    assert state is not None
    assert state.live
    assert world.store.verify_chain().intact


def test_a_broken_member_does_not_loosen_the_cap(world: World) -> None:
    """D17, T117: a batch that is gone through row by row counts again."""
    batch = [
        *grants(world, 2, max_live_tokens=2),
        world.grant(resource="bad\ud800"),
        *grants(world, 2, max_live_tokens=2),
    ]

    assert verdicts(world.store.commit(batch)) == [GRANTED, GRANTED, Verdict.FAILED, FULL, FULL]
    assert world.store.verify_chain().intact


def test_what_is_remembered_of_live_tokens_is_what_is_true(world: World) -> None:
    """T117: between batches of one process, too: tokens end, are revoked by others and by us, and caps are lowered."""
    store, cap = world.store, 4
    first = grants(world, 3, max_live_tokens=cap)
    assert verdicts(store.commit(first)) == [GRANTED] * 3
    assert store.revoke_token(first[0].jti, reason="test")
    assert verdicts(store.commit(grants(world, 3, max_live_tokens=cap))) == [GRANTED, GRANTED, FULL]
    with open_store(world.location, clock=world.clock) as other:
        assert other.revoke_token(first[1].jti, reason="test")
        assert verdicts(other.commit(grants(world, 2, max_live_tokens=cap))) == [GRANTED, FULL]
    assert verdicts(store.commit(grants(world, 1, max_live_tokens=cap))) == [FULL]
    # A lower cap: it says how many there are at least, and must not be taken for how many there are.
    assert verdicts(store.commit(grants(world, 1, max_live_tokens=2))) == [FULL]
    assert store.revoke_token(first[2].jti, reason="test")
    assert verdicts(store.commit(grants(world, 1, max_live_tokens=2))) == [FULL]
    assert verdicts(store.commit(grants(world, 2, max_live_tokens=cap))) == [GRANTED, FULL]
    world.clock.now += 3600
    assert verdicts(store.commit(grants(world, 5, max_live_tokens=cap))) == [GRANTED] * 4 + [FULL]


def test_two_processes_together_keep_the_cap(world: World) -> None:
    """T117, T47: exact, whoever mints: the count is inside the transaction."""
    with open_store(world.location, clock=world.clock) as other, ThreadPoolExecutor(2) as threads:
        batches = [[grants(world, 3, max_live_tokens=10) for _ in range(5)] for _ in range(2)]
        work = [
            threads.submit(lambda store, mine: [store.commit(batch) for batch in mine], store, mine)
            for store, mine in zip((world.store, other), batches, strict=True)
        ]
        found = [outcome.verdict for job in work for outcomes in job.result() for outcome in outcomes]

    assert found.count(GRANTED) == 10
    assert found.count(FULL) == 20


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 4), st.integers(60, 400), st.integers(0, 200), st.booleans()), min_size=1, max_size=12
    ),
    cap=st.integers(1, 5),
)
def test_never_more_live_tokens_than_the_cap(world: World, steps: list[tuple[int, int, int, bool]], cap: int) -> None:
    """T117: whatever lifetimes, pauses and batches; and nobody is refused while there is room."""
    query = "SELECT count(*) FROM token WHERE publisher_id = ? AND expires_at > ? AND revoked_at IS NULL"
    publisher = world.add_publisher(claims={"repository": [f"acme/r{next(world.numbers)}"]})
    for count, ttl, pause, oldest in steps:
        world.clock.now += pause
        now = int(world.clock())
        before = world.rows(query, publisher.id, now)[0][0]
        options = {"publisher": publisher, "max_live_tokens": cap, "revoke_oldest": oldest, "expires_at": now + ttl}
        found = verdicts(world.store.commit(grants(world, count, **options)))
        after = world.rows(query, publisher.id, now)[0][0]

        assert after <= cap
        assert found.count(GRANTED) == (count if oldest else min(count, cap - before))


# --- the alarm (T78) -------------------------------------------------------------------------------------------------


def test_one_token_too_many_in_an_hour_pauses_the_publisher(world: World) -> None:
    """T78: the alarm stops the publisher, its live tokens and whatever comes next; the audit says why."""
    first = world.store.commit(grants(world, 2, max_grants_per_hour=3))
    second = world.store.commit(grants(world, 3, max_grants_per_hour=3))

    assert verdicts(first + second) == [GRANTED, GRANTED, GRANTED, CHANGED, CHANGED]
    assert world.counts() == {"claims": 3, "tokens": 3, "grants": 3}
    publisher = world.admin.publisher(world.publisher.id)
    assert (publisher.enabled, publisher.paused_reason, publisher.paused_at) == (False, ALARM_REASON, START)
    assert world.store.publishers(world.resource, publisher.issuer_id) == ()
    assert world.rows("SELECT kind, reason, publisher_id FROM audit_event WHERE kind = 'publisher.paused'") == [
        ("publisher.paused", ALARM_REASON, publisher.id)
    ]
    state = world.store.token_state(world.rows("SELECT jti FROM token LIMIT 1")[0][0])
    assert state is not None
    assert not state.live


def test_a_new_hour_counts_from_nothing(world: World) -> None:
    """T78: the alarm is about a rate."""
    world.store.commit(grants(world, 3, max_grants_per_hour=3))
    world.clock.now += 3600

    assert verdicts(world.store.commit(grants(world, 3, max_grants_per_hour=3))) == [GRANTED] * 3


def test_a_resumed_publisher_starts_its_hour_anew(world: World) -> None:
    """T78: whoever resumes it has looked; the same hour does not pause it at once again."""
    world.store.commit(grants(world, 4, max_grants_per_hour=3))
    resumed = world.admin.set_publisher_enabled(world.publisher.id, enabled=True)

    assert resumed.paused_reason is None
    outcomes = world.store.commit(grants(world, 4, publisher=resumed, max_grants_per_hour=3))
    assert verdicts(outcomes) == [GRANTED, GRANTED, GRANTED, CHANGED]


def test_an_alarm_in_a_batch_that_is_rolled_back_is_none(world: World) -> None:
    """D17: a member that the database refuses takes its own rows with it, and the chain has no gap."""
    batch = [*grants(world, 2, max_grants_per_hour=2), world.grant(resource="bad\ud800")]

    assert verdicts(world.store.commit(batch)) == [GRANTED, GRANTED, Verdict.FAILED]
    assert world.admin.publisher(world.publisher.id).enabled
    assert world.store.verify_chain().intact
