"""Packages of registries in the store: who may publish what, and tokens for several of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keyless.errors import ConfigurationError
from keyless.resource import ResourceType, parse_resource
from keyless.server.store.grants import Covered, Grant, Verdict
from keyless.trust.publisher import Publisher
from tests.server.store.world import World

INDEX = "https://pypi.example.org"


def trust(world: World, *names: str, **changes: Any) -> list[Publisher]:
    """Trust the job with projects of an index."""
    world.store.ensure_resource_server(INDEX, "pypi")
    return [world.add_publisher(resource=parse_resource(f"pypi/{name}"), **changes) for name in names]


def grant_for(world: World, first: Publisher, *others: Publisher) -> Grant:
    """A grant of one token for several projects."""
    also = tuple(Covered(str(p.resource), p.id, p.version) for p in others)
    return replace(world.grant(publisher=first), also=also)


def test_publishers_are_found_by_what_they_name(world: World) -> None:
    """T90: by a pinned id or an exact repository, of the type asked for and of no other issuer."""
    one, two = trust(world, "one", "two")
    trust(world, "elsewhere", pins={"repository_id": "12", "repository_owner_id": "22"}, claims={"branch": ["main"]})
    [waiting] = trust(world, "waiting", claims={"repository": ["acme/new"]}, pins={}, pin_first_use=True)

    def found(kind: ResourceType = ResourceType.PYPI, issuer: int = one.issuer_id, **claims: str) -> list[str]:
        return [p.id for p in world.store.publishers_naming(kind, issuer, claims)]

    assert sorted(found(repository_id="11")) == sorted([one.id, two.id])
    assert sorted(found(repository_id="11", repository="acme/train")) == sorted([one.id, two.id])
    assert found(repository="acme/new") == [waiting.id]
    assert found(repository_id="13") == found(ResourceType.NPM, repository_id="11") == []
    assert found(issuer=one.issuer_id + 1, repository_id="11") == []
    world.admin.set_publisher_enabled(two.id, enabled=False)
    assert found(repository_id="11") == [one.id]


def test_token_for_several_projects_is_one_row_each(world: World) -> None:
    """D14, T90: every project's owner finds the grant in the audit."""
    one, two, three = trust(world, "one", "two", "three")
    [outcome] = world.store.commit([grant_for(world, one, two, three)])

    assert outcome.verdict is Verdict.GRANTED
    assert world.counts() == {"claims": 1, "tokens": 1, "grants": 3}
    state = world.store.token_state("token-1")
    assert state is not None
    assert state.live


@pytest.mark.parametrize("which", [0, 1, 2])
def test_nothing_is_granted_when_a_project_lost_its_trust(world: World, which: int) -> None:
    """D16: no part of the token is left behind, and the id token is not spent."""
    publishers = trust(world, "one", "two", "three")
    grant = grant_for(world, *publishers)
    world.admin.set_publisher_enabled(publishers[which].id, enabled=False)
    [outcome] = world.store.commit([grant])

    assert outcome.verdict is Verdict.PUBLISHER_CHANGED
    assert world.counts() == {"claims": 0, "tokens": 0, "grants": 0}
    assert world.rows("SELECT count(*) FROM token_resource")[0][0] == 0


def test_pending_project_comes_into_being_or_nothing_is_granted(world: World) -> None:
    """T93, T116: together with the token, and not when its publisher was removed meanwhile."""
    [one] = trust(world, "one")
    new, gone = trust(world, "new", "gone", pending=True)
    also = tuple(Covered(str(p.resource), p.id, p.version, pending=True) for p in (new, gone))
    grant = replace(world.grant(publisher=one), also=also)
    world.admin.remove_publisher(gone.id)
    [outcome] = world.store.commit([grant])
    assert outcome.verdict is Verdict.PUBLISHER_CHANGED
    assert world.counts() == {"claims": 0, "tokens": 0, "grants": 0}
    assert world.admin.publisher(new.id).pending_until is not None

    [outcome] = world.store.commit([replace(grant, also=also[:1])])
    assert outcome.verdict is Verdict.GRANTED
    assert world.admin.publisher(new.id).pending_until is None
    state = world.store.token_state(grant.jti)
    assert state is not None
    assert state.live


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["removed", "disabled", "locked", "expired"])
def test_token_dies_with_any_of_its_projects(world: World, which: int, how: str) -> None:
    """T91, V20: exactly, not within seconds."""
    publishers = trust(world, "one", "two", expires_at=int(world.clock()) + 60)
    world.store.commit([grant_for(world, *publishers)])
    gone = publishers[which]
    match how:
        case "removed":
            world.admin.remove_publisher(gone.id)
        case "disabled":
            world.admin.set_publisher_enabled(gone.id, enabled=False)
        case "locked":
            world.admin.set_resource_state(gone.resource, "locked")
        case _:
            world.clock.now += 60

    state = world.store.token_state("token-1")
    assert state is not None
    assert not state.live


def test_expired_tokens_take_their_projects_with_them(world: World) -> None:
    """Rows do not pile up."""
    world.store.commit([grant_for(world, *trust(world, "one", "two"))])
    world.clock.now += 2 * 24 * 3600
    world.store.purge()

    assert world.rows("SELECT count(*) FROM token_resource")[0][0] == 0


def test_registry_takes_no_publisher_of_another_kind(world: World) -> None:
    """D22, T106: a hub's tokens are for hubs, an index's for an index, also by name."""
    trust(world, "one")

    with pytest.raises(ConfigurationError, match="no pypi registry hub"):
        trust(world, "two", resource_server="hub")
    with pytest.raises(ConfigurationError, match="no resource server 'pypi'"):
        world.add_publisher(resource=parse_resource("acme/other"), resource_server="pypi")
    with pytest.raises(ConfigurationError, match="no npm registry"):
        world.add_publisher(resource=parse_resource("npm/ui"))
