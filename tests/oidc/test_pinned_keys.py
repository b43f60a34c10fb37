"""K13: keys given by hand, with an end."""

from __future__ import annotations

import dataclasses
import json

import pytest

from keyless.errors import ConfigurationError, UnavailableError, UnknownKeyError
from keyless.oidc.issuer import PinnedKeys
from keyless.oidc.pinned_keys import MAX_PINNED_CHARS, check_pinned_keys
from tests.oidc.cache_world import A, World, document, jwk, make_world

WALL_CLOCK = 1_800_000_000


def pinned(jwks: str | bytes, *, seconds: int = 60) -> World:
    """A world whose issuer A has these keys pinned, for so many seconds from now."""
    world = make_world()
    text = jwks if isinstance(jwks, str) else jwks.decode()
    world.pinned = dataclasses.replace(A, pinned_keys=PinnedKeys(text, WALL_CLOCK + seconds))
    return world


def test_pinned_keys_are_used_and_nothing_is_fetched() -> None:
    """K13: what the issuer publishes does not count."""
    world = pinned(document("p1"))
    world.issuers.publish(A, "a1")

    assert world.kids(world.pinned, "p1") == ["p1"]
    with pytest.raises(UnknownKeyError):
        world.kids(world.pinned, "a1")
    assert world.issuers.fetches == []


def test_after_their_end_nothing_is_believed_and_nobody_refused() -> None:
    """K13, K06: an operator's date that passed is our outage."""
    world = pinned(document("p1"), seconds=0)

    assert world.cache.peek(world.pinned, "p1") is None
    with pytest.raises(UnavailableError, match="are over"):
        world.cache.resolve(world.pinned, "p1")
    assert world.issuers.fetches == []


def test_a_distrusted_key_is_dead_although_it_is_pinned() -> None:
    """K15."""
    world = pinned(document("p1", "p2"))
    issuer = dataclasses.replace(world.pinned, distrusted_kids=frozenset({"p1"}))

    assert world.kids(issuer, "p2") == ["p2"]
    with pytest.raises(UnknownKeyError):
        world.kids(issuer, "p1")


@pytest.mark.parametrize("stored", ["", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "kid": "p1", "k": "AAAA"}]}'])
def test_a_stored_set_is_checked_whenever_it_is_read(stored: str) -> None:
    """K12: what somebody else put where we keep keys is an outage, not a key."""
    world = pinned(stored)
    with pytest.raises(UnavailableError, match="no key set"):
        world.kids(world.pinned, "p1")


@pytest.mark.parametrize(
    ("jwks", "seconds"),
    [
        ("not json", 60),
        ('{"keys": []}', 60),
        (json.dumps({"keys": [{k: v for k, v in jwk("x").items() if k != "kid"}]}), 60),
        (document("p1").decode(), 0),
        (document("p1").decode() + " " * MAX_PINNED_CHARS, 60),
    ],
    ids=["no JSON", "no key", "no kid", "over already", "too long"],
)
def test_what_cannot_be_pinned_is_refused_when_it_is_saved(jwks: str, seconds: int) -> None:
    """K13, K08."""
    with pytest.raises(ConfigurationError):
        check_pinned_keys(PinnedKeys(jwks, WALL_CLOCK + seconds), now=WALL_CLOCK)


def test_a_good_set_can_be_pinned() -> None:
    """K13: the counterpart of the above."""
    assert check_pinned_keys(PinnedKeys(document("p1").decode(), WALL_CLOCK + 1), now=WALL_CLOCK).kids == {"p1"}
