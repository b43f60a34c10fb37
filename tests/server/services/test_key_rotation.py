"""Changing the key that signs (D21): nobody meets a key he could not have known, and a bad one is worth nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.server.services.key_rotation import (
    DAY_SECONDS,
    PUBLISHED_AHEAD_SECONDS,
    KeyRotation,
    NoSuchKeyError,
    distrust,
    rotate_now,
)
from keyless.server.services.keys import RETIRED_PUBLISHED_SECONDS, SigningKeys
from keyless.server.settings import Settings
from keyless.server.store import Store, open_store


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(public_url="https://hub.example.org", database=tmp_path / "keyless.db")


@pytest.fixture
def store(settings: Settings, clock: Clock) -> Iterator[Store]:
    with open_store(settings.database, clock=clock) as opened:
        yield opened


@pytest.fixture
def keys(store: Store, settings: Settings) -> SigningKeys:
    return SigningKeys.open(store, settings)


def published(keys: SigningKeys) -> list[str]:
    return [key["kid"] for key in json.loads(keys.jwks())["keys"]]


def test_no_token_is_ever_signed_by_a_key_that_was_not_published_a_day_before(keys: SigningKeys, clock: Clock) -> None:
    """D21: a year of hourly looks, of two replicas; every signing key was in the set for a day."""
    rotations = [KeyRotation(keys, every_days=30), KeyRotation(keys, every_days=30)]
    first_seen: dict[str, float] = dict.fromkeys(published(keys), clock.now - PUBLISHED_AHEAD_SECONDS)
    last_signed: dict[str, float] = {}
    for _hour in range(24 * 365):
        for rotation in rotations:
            rotation.tend()
        now_published = published(keys)
        for kid in now_published:
            first_seen.setdefault(kid, clock.now)
        signing = keys.active().kid
        assert clock.now - first_seen[signing] >= PUBLISHED_AHEAD_SECONDS
        last_signed[signing] = clock.now
        for kid, at in last_signed.items():
            if clock.now - at < RETIRED_PUBLISHED_SECONDS - 3600:
                assert kid in now_published
        assert len(now_published) <= 3
        clock.now += 3600
    assert len(last_signed) == 13  # the first, and one every thirty days


def test_a_retired_key_goes_when_its_last_token_is_over(keys: SigningKeys, clock: Clock) -> None:
    """D21: published until then, and not longer."""
    old = keys.active().kid
    new = rotate_now(keys, actor="test")
    assert published(keys) == [new, old]
    clock.now += RETIRED_PUBLISHED_SECONDS - 1
    assert published(keys) == [new, old]
    clock.now += 1
    assert published(keys) == [new]


def test_another_process_signs_with_the_new_key_at_once(keys: SigningKeys, store: Store, settings: Settings) -> None:
    """D21, D4: a rotation on the command line counts in every replica."""
    other = SigningKeys.open(store, settings)
    new = rotate_now(keys, actor="test")
    assert other.active().kid == new


def test_there_is_never_more_than_one_key_to_come(keys: SigningKeys) -> None:
    """D21: two replicas that find the same thing due publish one key."""
    assert keys.publish_next(actor="a") is not None
    assert keys.publish_next(actor="b") is None


def test_a_pending_key_can_be_withdrawn_and_a_signing_one_cannot(keys: SigningKeys) -> None:
    """D21: there is always a key that signs."""
    kid = keys.publish_next(actor="test")
    assert kid is not None
    assert keys.retire(kid, actor="test")
    assert not keys.retire(keys.active().kid, actor="test")
    assert not keys.distrust(keys.active().kid, actor="test")


def test_a_leaked_key_is_replaced_and_everything_it_signed_is_worth_nothing(keys: SigningKeys) -> None:
    """D21, T110: the emergency: one command, no gap, and the leaked key is not published any more."""
    leaked = keys.active().kid
    successor = distrust(keys, leaked, actor="test")
    assert keys.active().kid == successor
    assert leaked not in published(keys)
    assert leaked not in keys.key_set().kids


def test_distrusting_an_old_key_changes_nothing_else(keys: SigningKeys) -> None:
    """D21: the key that signs goes on."""
    old = keys.active().kid
    new = rotate_now(keys, actor="test")
    assert distrust(keys, old, actor="test") is None
    assert published(keys) == [new]


def test_an_unknown_key_is_said_to_be_unknown(keys: SigningKeys) -> None:
    """A slip of the pen withdraws nothing."""
    with pytest.raises(NoSuchKeyError):
        distrust(keys, "nobody", actor="test")


def test_without_a_schedule_nothing_changes_by_itself(keys: SigningKeys, clock: Clock) -> None:
    """`signing_key_days = 0`: only what somebody published goes on to sign."""
    rotation = KeyRotation(keys, every_days=0)
    clock.now += 3650 * DAY_SECONDS
    rotation.tend()
    assert len(published(keys)) == 1
    next_kid = keys.publish_next(actor="test")
    clock.now += PUBLISHED_AHEAD_SECONDS
    rotation.tend()
    assert keys.active().kid == next_kid
