"""What happens to trust without a person (T92, T93, D15)."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyless.jose.signing import SigningKey
from keyless.server.services.putting_away import DAY_SECONDS, PuttingAway
from keyless.server.settings import Settings
from keyless.server.store.limits import UNUSED_REASON
from tests.server.store.world import PUBLIC_URL, World

DAYS = 90


def unused(world: World) -> list[str]:
    return world.store.upkeep.pause_unused(before=int(world.clock()) - DAYS * DAY_SECONDS)


def test_a_publisher_that_nobody_uses_is_paused(world: World) -> None:
    """T92: it grants nothing any more, every server notices, and the audit says why."""
    world.clock.now += DAYS * DAY_SECONDS
    assert unused(world) == []
    world.clock.now += 1

    assert unused(world) == [world.publisher.id]
    assert unused(world) == []
    paused = world.admin.publisher(world.publisher.id)
    assert (paused.enabled, paused.paused_reason) == (False, UNUSED_REASON)
    assert world.store.publishers(world.resource, world.publisher.issuer_id) == ()
    assert ("publisher.paused", "serve", UNUSED_REASON) in world.rows("SELECT kind, actor, reason FROM audit_event")


@pytest.mark.parametrize("what", ["used", "resumed"])
def test_one_that_somebody_needed_is_not(world: World, what: str) -> None:
    """T92: counted from the last use, and anew from when somebody looked at it."""
    world.clock.now += DAYS * DAY_SECONDS
    if what == "used":
        world.store.commit([world.grant()])
    else:
        world.admin.set_publisher_enabled(world.publisher.id, enabled=False, reason="a look")
        world.admin.set_publisher_enabled(world.publisher.id, enabled=True)
    world.clock.now += DAYS * DAY_SECONDS

    assert unused(world) == []
    world.clock.now += 1
    assert unused(world) == [world.publisher.id]


def test_old_things_are_put_away_as_the_settings_say(world: World, tmp_path: Path) -> None:
    """D15, T92, T93: addresses, waits, unused publishers, old events; nothing when the settings say nothing."""
    settings = Settings(
        public_url=PUBLIC_URL,
        database=tmp_path / "other.db",
        audit_contact_days=1,
        audit_retention_days=10,
        pause_unused_days=DAYS,
    )
    key = SigningKey.generate("Ed25519")
    world.store.commit([world.grant(address="192.0.2.1")])
    world.clock.now += DAYS * DAY_SECONDS + 61
    quiet = PuttingAway(
        world.store, Settings(public_url=PUBLIC_URL, database=tmp_path / "x.db"), key, clock=world.clock
    )
    quiet.seldom()
    assert world.admin.publisher(world.publisher.id).enabled

    putting_away = PuttingAway(world.store, settings, key, clock=world.clock)
    putting_away.often()
    putting_away.seldom()

    assert world.rows("SELECT count(*) FROM audit_contact") == [(0,)]
    assert not world.admin.publisher(world.publisher.id).enabled
    kinds = [row[0] for row in world.rows("SELECT DISTINCT kind FROM audit_event")]
    assert sorted(kinds) == ["audit.pruned", "publisher.paused"]
