from __future__ import annotations

import dataclasses
import time

from keyless.oidc.issuer import ReplayMode
from keyless.server.store import Verdict
from keyless.server.store.admin.publishers import PIN_FIRST_USE_SECONDS
from keyless.trust.publisher import PinSource
from tests.server.store.world import START, World

IDS = {"repository_id": "7", "repository_owner_id": "8"}


def test_the_first_use_pins_every_open_id(world: World) -> None:
    """D10, M03: the ids of the first use stand from then on, and it has its own audit event."""
    publisher = world.add_unpinned_publisher()
    before = world.store.trust_version()

    outcome = world.store.commit([world.grant(publisher=publisher, first_use_pins=IDS)])[0]

    assert outcome.verdict is Verdict.GRANTED
    pinned = world.admin.publisher(publisher.id)
    assert {pin.claim: (pin.value, pin.source, pin.pinned_at, pin.lapses_at) for pin in pinned.pins} == {
        claim: (value, PinSource.FIRST_USE, START, None) for claim, value in IDS.items()
    }
    assert pinned.version == publisher.version + 1
    ends_at = time.monotonic() + 20
    while world.store.trust_version() == before:  # PostgreSQL tells of it a moment later
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    assert world.rows("SELECT kind FROM audit_event ORDER BY id DESC LIMIT 2") == [
        ("token.granted",),
        ("publisher.pinned",),
    ]


def test_grants_of_one_batch_that_bring_the_same_ids_all_pass(world: World) -> None:
    """D10, D17: a matrix job's first exchanges arrive together."""
    publisher = world.add_unpinned_publisher()
    batch = [world.grant(publisher=publisher, first_use_pins=IDS) for _ in range(4)]

    outcomes = world.store.commit(batch)

    assert [outcome.verdict for outcome in outcomes] == [Verdict.GRANTED] * 4
    assert world.rows("SELECT count(*) FROM audit_event WHERE kind = 'publisher.pinned'") == [(1,)]


def test_a_second_identity_in_the_same_batch_must_match_again(world: World) -> None:
    """T86: the ids of whoever came first count; the other is sent back to be matched against them."""
    publisher = world.add_unpinned_publisher()
    other = {"repository_id": "666", "repository_owner_id": "8"}

    outcomes = world.store.commit(
        [
            world.grant(publisher=publisher, first_use_pins=IDS),
            world.grant(publisher=publisher, first_use_pins=other),
        ]
    )

    assert [outcome.verdict for outcome in outcomes] == [Verdict.GRANTED, Verdict.PUBLISHER_CHANGED]
    assert world.counts() == {"claims": 1, "tokens": 1, "grants": 1}


def test_a_match_against_the_unpinned_publisher_is_void_after_it_was_pinned(world: World) -> None:
    """D16, T86: also in a later batch, and with the same ids, which then match anew."""
    publisher = world.add_unpinned_publisher()
    world.store.commit([world.grant(publisher=publisher, first_use_pins=IDS)])

    late = world.store.commit([world.grant(publisher=publisher, first_use_pins=IDS)])
    again = world.store.commit([world.grant(publisher=world.admin.publisher(publisher.id))])

    assert late[0].verdict is Verdict.PUBLISHER_CHANGED
    assert again[0].verdict is Verdict.GRANTED


def test_an_offer_to_pin_lapses(world: World) -> None:
    """D10: after seven unused days nobody pins it any more; nothing is left of the attempt."""
    publisher = world.add_unpinned_publisher()
    world.clock.now += PIN_FIRST_USE_SECONDS

    outcome = world.store.commit([world.grant(publisher=publisher, first_use_pins=IDS)])[0]

    assert outcome.verdict is Verdict.PUBLISHER_CHANGED
    assert world.counts() == {"claims": 0, "tokens": 0, "grants": 0}
    assert all(pin.value is None for pin in world.admin.publisher(publisher.id).pins)


def test_only_some_of_the_open_ids_pin_nothing(world: World) -> None:
    """M03: all ids in one go, or none."""
    publisher = world.add_unpinned_publisher()

    outcome = world.store.commit([world.grant(publisher=publisher, first_use_pins={"repository_id": "7"})])[0]

    assert outcome.verdict is Verdict.PUBLISHER_CHANGED
    assert all(pin.value is None for pin in world.admin.publisher(publisher.id).pins)


def test_a_replayed_token_pins_nothing(world: World) -> None:
    """T116: the claim comes first, every side effect after it."""
    publisher = world.add_unpinned_publisher()
    world.store.commit([world.grant(replay_key=b"k")])

    outcome = world.store.commit([world.grant(publisher=publisher, first_use_pins=IDS, replay_key=b"k")])[0]

    assert outcome.verdict is Verdict.REPLAYED
    assert all(pin.value is None for pin in world.admin.publisher(publisher.id).pins)


def test_a_hostile_neighbour_does_not_undo_a_pin(world: World) -> None:
    """D17: the batch is gone through again, and the pin is made exactly once."""
    publisher = world.add_unpinned_publisher()
    batch = [
        world.grant(publisher=publisher, first_use_pins=IDS, replay_key=b"c", replay_mode=ReplayMode.COUNTED),
        world.grant(ci_subject="\ud800"),
        world.grant(publisher=publisher, first_use_pins=IDS, replay_key=b"c", replay_mode=ReplayMode.COUNTED),
    ]

    outcomes = world.store.commit(batch)

    assert [outcome.verdict for outcome in outcomes] == [Verdict.GRANTED, Verdict.FAILED, Verdict.GRANTED]
    assert [outcome.use for outcome in outcomes] == [1, None, 2]
    assert world.store.verify_chain().intact


def test_a_hostile_first_use_leaves_the_publisher_to_the_next(world: World) -> None:
    """D17, D10: what a failed member pinned is taken back with it."""
    publisher = world.add_unpinned_publisher()
    hostile = world.grant(publisher=publisher, first_use_pins=IDS, user_agent="\ud800")
    good = dataclasses.replace(world.grant(publisher=publisher), first_use_pins={**IDS, "repository_id": "9"})

    outcomes = world.store.commit([hostile, good])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.FAILED, Verdict.GRANTED]
    assert {pin.value for pin in world.admin.publisher(publisher.id).pins} == {"9", "8"}
