"""What one person asks for and another lets in, on the store itself (T110)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from keyless.errors import ConfigurationError
from keyless.server.store import Verdict
from keyless.server.store.admin import Administration
from keyless.server.store.admin.description import description_of
from keyless.trust.publisher import Publisher
from tests.server.store.world import World


@pytest.fixture
def both(world: World) -> Iterator[Administration]:
    """Return an administration where a second person is asked."""
    made = Administration(world.store, actor="serve", second_person=True)
    yield made
    made.close()


def asked(world: World, both: Administration, who: str = "person:olga") -> Publisher:
    """Let a person add a publisher."""
    new = replace(description_of(world.publisher), claims={"repository": ["acme/other"], "branch": ["main"]})
    return both.acting_as(who).add_publisher(new)


def gives_tokens(world: World, publisher: Publisher) -> bool:
    return world.store.commit([world.grant(publisher=publisher)])[0].verdict is Verdict.GRANTED


def test_what_a_person_adds_waits_for_another(world: World, both: Administration) -> None:
    """T110: no token before, whoever asked cannot let it in, anybody else can."""
    made = asked(world, both)
    assert (made.enabled, made.paused_reason) == (False, "second_person:person:olga")
    assert not gives_tokens(world, made)
    with pytest.raises(ConfigurationError, match="a second person has to let it in"):
        both.acting_as("person:olga").set_publisher_enabled(made.id, enabled=True)
    assert not world.admin.publisher(made.id).enabled
    let_in = both.acting_as("person:otto").set_publisher_enabled(made.id, enabled=True)

    assert (let_in.enabled, let_in.paused_reason) == (True, None)
    assert gives_tokens(world, let_in)


def test_pausing_makes_it_nobodys_own(world: World, both: Administration) -> None:
    """T110: neither another reason nor a change by oneself leads past the other person."""
    made = asked(world, both)
    olga = both.acting_as("person:olga")
    olga.set_publisher_enabled(made.id, enabled=False, reason="let me see")
    olga.change_publisher(made.id, replace(description_of(made), ttl_seconds=600))
    with pytest.raises(ConfigurationError, match="second person"):
        olga.set_publisher_enabled(made.id, enabled=True)

    assert world.admin.publisher(made.id).paused_reason == "second_person:person:olga"


def test_what_a_person_changes_waits_again(world: World, both: Administration) -> None:
    """T110: a publisher that was let in is not opened further by one person alone; its tokens stop meanwhile."""
    assert gives_tokens(world, world.publisher)
    wider = replace(description_of(world.publisher), claims={"repository": ["acme/train"]})
    changed = both.acting_as("person:olga").change_publisher(world.publisher.id, wider)

    assert not changed.enabled
    assert not gives_tokens(world, changed)
    assert not gives_tokens(world, world.publisher)
    same = both.acting_as("person:otto").set_publisher_enabled(changed.id, enabled=True)
    assert both.acting_as("person:otto").change_publisher(same.id, description_of(same)).enabled  # nothing differs


@pytest.mark.parametrize("actor", ["cli:root", "policy:/etc/keyless", "serve"])
def test_who_is_no_person_does_not_wait(world: World, both: Administration, actor: str) -> None:
    """D13: who has the store is the operator, and a policy was reviewed where it is kept."""
    assert asked(world, both, actor).enabled


def test_one_may_end_a_pause_of_ones_own(world: World, both: Administration) -> None:
    """Pausing and resuming what was let in opens nothing."""
    olga = both.acting_as("person:olga")
    olga.set_publisher_enabled(world.publisher.id, enabled=False, reason="odd runs")

    assert olga.set_publisher_enabled(world.publisher.id, enabled=True).enabled


def test_without_the_setting_nobody_waits(world: World) -> None:
    """It is off by default: a team of one must be able to work."""
    assert asked(world, world.admin).enabled
