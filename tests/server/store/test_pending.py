from __future__ import annotations

import dataclasses

import pytest

from keyless.errors import ConfigurationError
from keyless.resource import parse_resource
from keyless.server.store import Verdict
from keyless.server.store.admin import description_of
from keyless.server.store.pending import PENDING_SECONDS
from keyless.trust.publisher import Operation, Publisher
from tests.server.store.world import START, World

NEW = parse_resource("acme/new")


def waiting(world: World, repository: str = "acme/train", number: str = "11") -> Publisher:
    return world.add_publisher(
        resource=NEW,
        claims={"repository": [repository]},
        pins={"repository_id": number, "repository_owner_id": "22"},
        pending=True,
    )


def test_the_first_use_brings_the_resource_into_being(world: World) -> None:
    """T93, T116: claim, token, resource and publisher change together, and the audit tells it."""
    publisher = waiting(world)
    assert world.admin.resource_state(NEW).state == "pending"
    assert [found.id for found in world.store.publishers(NEW, publisher.issuer_id)] == [publisher.id]

    outcome = world.store.commit([world.grant(publisher=publisher, pending=True)])[0]

    assert outcome.verdict is Verdict.GRANTED
    assert world.admin.resource_state(NEW).state == "active"
    after = world.admin.publisher(publisher.id)
    assert (after.pending_until, after.version) == (None, publisher.version + 1)
    kinds = [row[0] for row in world.rows("SELECT kind FROM audit_event ORDER BY id DESC LIMIT 3")]
    assert kinds == ["token.granted", "publisher.activated", "resource.changed"]
    jti = world.rows("SELECT jti FROM token")[0][0]
    state = world.store.token_state(jti)
    assert state is not None
    assert state.live


def test_the_others_that_wait_for_the_name_are_gone(world: World) -> None:
    """T93: a pending publisher reserves nothing, and is void once the name is taken."""
    first, second = waiting(world), waiting(world, "evil/squat", "66")
    world.store.commit([world.grant(publisher=second, pending=True)])

    assert [found.id for found in world.admin.publishers(NEW)] == [second.id]
    assert verdict(world, first) is Verdict.PUBLISHER_CHANGED
    assert ("name_taken", first.id) in world.rows("SELECT reason, publisher_id FROM audit_event")


def verdict(world: World, publisher: Publisher) -> Verdict:
    return world.store.commit([world.grant(publisher=publisher, pending=True)])[0].verdict


def test_two_first_uses_in_one_batch_have_one_winner(world: World) -> None:
    """T93, T116: the second identity gets nothing, and its id token stays unused."""
    publishers = [waiting(world), waiting(world, "evil/squat", "66")]

    outcomes = world.store.commit([world.grant(publisher=publisher, pending=True) for publisher in publishers])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.GRANTED, Verdict.PUBLISHER_CHANGED]
    assert world.counts()["claims"] == 1
    assert world.store.verify_chain().intact


def test_a_replay_of_the_first_use_changes_nothing(world: World) -> None:
    """T116: the claim comes first, so a token that was used brings nothing into being."""
    publisher = waiting(world)
    world.store.commit([world.grant(replay_key=b"k")])

    outcome = world.store.commit([world.grant(publisher=publisher, pending=True, replay_key=b"k")])[0]

    assert outcome.verdict is Verdict.REPLAYED
    assert world.admin.resource_state(NEW).state == "pending"


def test_ids_are_pinned_by_the_same_first_use(world: World) -> None:
    """D10, T93: both effects, one version after the other, all or nothing."""
    publisher = world.add_publisher(
        resource=NEW, claims={"repository": ["acme/x"]}, pins={}, pin_first_use=True, pending=True
    )
    pins = {"repository_id": "7", "repository_owner_id": "8"}

    outcome = world.store.commit([world.grant(publisher=publisher, pending=True, first_use_pins=pins)])[0]

    assert outcome.verdict is Verdict.GRANTED
    after = world.admin.publisher(publisher.id)
    assert {pin.claim: pin.value for pin in after.pins} == pins
    assert after.pending_until is None


def test_whoever_waits_too_long_waits_for_nothing(world: World) -> None:
    """T93: thirty days; then it grants nothing, and housekeeping removes it."""
    publisher = waiting(world)
    assert publisher.pending_until == START + PENDING_SECONDS
    world.clock.now += PENDING_SECONDS

    assert world.store.publishers(NEW, publisher.issuer_id) == ()
    assert verdict(world, publisher) is Verdict.PUBLISHER_CHANGED
    assert world.store.upkeep.remove_lapsed() == 1
    assert world.store.upkeep.remove_lapsed() == 0
    assert world.admin.publishers(NEW) == []
    assert ("lapsed", publisher.id) in world.rows("SELECT reason, publisher_id FROM audit_event")


def test_a_name_that_is_created_otherwise_ends_the_wait(world: World) -> None:
    """T93: the hub tells; who waited must not get a token of somebody else's repository."""
    publisher = waiting(world)

    assert world.store.upkeep.note_existence(NEW)
    assert not world.store.upkeep.note_existence(NEW)
    assert world.admin.publishers(NEW) == []
    assert world.admin.resource_state(NEW).state == "active"
    assert verdict(world, publisher) is Verdict.PUBLISHER_CHANGED


def test_an_unknown_name_may_be_created_without_us(world: World) -> None:
    """T93: most repositories never have a publisher; nothing is written for them."""
    before = world.rows("SELECT count(*) FROM audit_event")

    assert not world.store.upkeep.note_existence(parse_resource("somebody/else"))
    assert world.rows("SELECT count(*) FROM audit_event") == before


def test_an_ordinary_publisher_says_that_the_name_exists(world: World) -> None:
    """T93: nobody who waits for a name is in the way of its owner."""
    publisher = waiting(world, "evil/squat", "66")

    ordinary = world.add_publisher(resource=NEW)

    assert [found.id for found in world.admin.publishers(NEW)] == [ordinary.id]
    assert publisher.id not in {found.id for found in world.admin.publishers()}


def test_one_identity_waits_once_for_one_name(world: World) -> None:
    """T93: one per identity and name, whatever else it says; another name or identity is free."""
    publisher = waiting(world)
    with pytest.raises(ConfigurationError, match=publisher.id):
        world.add_publisher(
            resource=NEW,
            claims={"repository": ["acme/train"], "branch": ["main"]},
            pins={"repository_id": "11", "repository_owner_id": "22"},
            pending=True,
        )
    waiting(world, "acme/other", "12")
    world.add_publisher(resource=parse_resource("acme/newer"), pending=True)


def test_nobody_waits_for_what_exists_or_cannot_be_made(world: World) -> None:
    """T93: an existing resource, an account, and a publisher that may not create."""
    with pytest.raises(ConfigurationError, match="exists already"):
        world.add_publisher(claims={"repository": ["acme/b"]}, pending=True)
    with pytest.raises(ConfigurationError, match="account"):
        world.add_publisher(resource=parse_resource("acme"), pending=True)
    with pytest.raises(ConfigurationError, match="create"):
        world.add_publisher(resource=NEW, operations=[Operation.WRITE], pending=True)
    publisher = waiting(world)
    with pytest.raises(ConfigurationError, match="create"):
        world.admin.change_publisher(
            publisher.id, dataclasses.replace(description_of(publisher), operations=(Operation.READ,))
        )


def test_a_pending_publisher_takes_part_in_nothing_of_an_existing_resource(world: World) -> None:
    """T93, M00: a row that got in another way opens nothing."""
    publisher = waiting(world)
    world.change("UPDATE resource SET state = 'active' WHERE path = 'models/acme/new'")

    assert verdict(world, publisher) is Verdict.PUBLISHER_CHANGED
