"""Planning and applying a policy against a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.errors import ConfigurationError
from keyless.server.policy.document import Policy, parse_policy
from keyless.server.policy.plan import Action, Plan, plan_from_json, plan_json
from keyless.server.policy.service import PlanChangedError, PolicyService
from tests.server.store.world import World

GITHUB = "https://token.actions.githubusercontent.com"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A store with one publisher of acme/model: branch main of acme/train."""
    world = World(tmp_path / "keyless.db")
    yield world
    world.close()


def entry(resource: str = "acme/model", **changes: Any) -> dict[str, Any]:
    """Describe the publisher that is there already, or what differs."""
    base = {
        "resource": resource,
        "provider": "github",
        "claims": {"repository": "acme/train", "branch": "main"},
        "pins": {"repository_id": "11", "repository_owner_id": "22"},
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def policy(*entries: dict[str, Any], **members: Any) -> Policy:
    return parse_policy({"version": 1, "publisher": list(entries), **members})


def rows(world: World) -> list[tuple[Any, ...]]:
    """Everything that a plan must leave alone."""
    return [
        *world.rows("SELECT id, version, enabled, ttl_seconds FROM publisher ORDER BY id"),
        *world.rows("SELECT publisher_id, claim, value FROM condition ORDER BY 1, 2, 3"),
        *world.rows("SELECT url FROM issuer ORDER BY 1"),
        *world.rows("SELECT count(*) FROM audit_event"),
        *world.rows("SELECT value FROM meta ORDER BY key"),
    ]


def said(plan: Plan) -> list[tuple[str, list[tuple[str, str | None, str | None]]]]:
    return [(c.action.value, [(d.name, d.before, d.after) for d in c.differences]) for c in plan.changes]


def test_what_is_as_the_policy_says_differs_in_nothing(world: World) -> None:
    """D13: and applying it writes not even an audit row."""
    service, before = PolicyService(world.admin), rows(world)

    assert service.plan(policy(entry())).changes == ()
    assert service.apply(policy(entry())).changes == ()
    assert rows(world) == before


def test_a_plan_shows_drift_claim_by_claim_and_changes_nothing(world: World) -> None:
    """D13: before and after of each claim and setting; the store is untouched to the last row."""
    before = rows(world)
    wanted = entry(claims={"repository": "acme/train", "branch": ["main", "release/*"]}, ttl_seconds=600)

    plan = PolicyService(world.admin).plan(policy(wanted))

    assert said(plan) == [
        ("change", [("claim branch", "main", "main | release/*"), ("ttl_seconds", None, "600")]),
    ]
    assert plan.changes[0].publisher == world.publisher.id
    assert rows(world) == before


def test_applying_does_what_the_plan_said(world: World) -> None:
    """D13: the same publisher with the same id, one version on; the audit names the plan."""
    wanted = policy(entry(ttl_seconds=600), entry("acme/other"))
    service = PolicyService(world.admin)
    plan = service.plan(wanted)

    applied = service.apply(wanted, expect=plan.digest)

    assert said(applied) == said(plan)
    assert service.plan(wanted).changes == ()
    publisher = world.admin.publisher(world.publisher.id)
    assert (publisher.version, publisher.ttl_seconds) == (2, 600)
    events = world.rows("SELECT kind, data FROM audit_event ORDER BY id DESC LIMIT 1")
    assert events[0][0] == "policy.applied"
    assert plan.digest in events[0][1]
    assert world.store.verify_chain().intact


def test_nothing_is_removed_unless_that_is_asked_for(world: World) -> None:
    """D13: a publisher of the policy's resource that is not in it is shown; `prune` removes it."""
    by_hand = world.add_publisher(
        claims={"repository": ["evil/fork"]}, pins={"repository_id": "6", "repository_owner_id": "7"}
    )
    service = PolicyService(world.admin)

    kept = service.apply(policy(entry()))
    assert [(c.action, c.publisher) for c in kept.changes] == [(Action.SURPLUS, by_hand.id)]
    assert {p.id for p in world.admin.publishers()} == {world.publisher.id, by_hand.id}

    removed = service.apply(policy(entry()), prune=True)
    assert [(c.action, c.publisher) for c in removed.changes] == [(Action.REMOVE, by_hand.id)]
    assert [p.id for p in world.admin.publishers()] == [world.publisher.id]


def test_pruning_reaches_as_far_as_the_policy_does(world: World) -> None:
    """D13: resources it does not speak of, and namespaces it does not name, are none of its business."""
    elsewhere = world.add_publisher(resource=_resource("acme/unspoken"))
    foreign = world.add_publisher(resource=_resource("other/model"))
    service = PolicyService(world.admin)

    assert service.plan(policy(entry()), prune=True).changes == ()
    plan = service.plan(policy(entry(), namespaces=["acme"]), prune=True)
    assert [(c.action, c.publisher) for c in plan.changes] == [(Action.REMOVE, elsewhere.id)]
    assert foreign.id in {p.id for p in world.admin.publishers()}


def test_a_policy_without_publishers_of_a_namespace_empties_it_only_when_asked(world: World) -> None:
    """D13: the namespace is named, nothing is in it."""
    empty = policy(namespaces=["acme"])

    assert PolicyService(world.admin).apply(empty).changes[0].action is Action.SURPLUS
    assert len(world.admin.publishers()) == 1
    PolicyService(world.admin).apply(empty, prune=True)
    assert world.admin.publishers() == []


def test_all_of_it_or_nothing(world: World) -> None:
    """D13: what cannot be stops the whole, and everything that cannot be is named at once."""
    before = rows(world)
    wanted = policy(
        entry("acme/a"),
        entry("acme/b", pins={}),
        entry("acme/c", claims={"nonsense": "x"}),
        entry("acme/d"),
    )
    for attempt in (PolicyService(world.admin).apply, PolicyService(world.admin).plan):
        with pytest.raises(ConfigurationError) as caught:
            attempt(wanted)

        assert "publisher 2 (acme/b)" in str(caught.value)
        assert "publisher 3 (acme/c)" in (caught.value.hint or "")
        assert rows(world) == before


def test_another_plan_than_was_looked_at_is_not_applied(world: World) -> None:
    """D13: somebody changed trust between plan and application."""
    wanted = policy(entry(ttl_seconds=600))
    service = PolicyService(world.admin)
    digest = service.plan(wanted).digest
    world.admin.set_publisher_enabled(world.publisher.id, enabled=False)
    world.admin.remove_publisher(world.publisher.id)
    before = rows(world)

    with pytest.raises(PlanChangedError):
        service.apply(wanted, expect=digest)
    assert rows(world) == before


def test_ids_from_the_first_use_are_no_drift(world: World) -> None:
    """D10: what the first job brought is what the policy asked for; another repository starts anew."""
    wanted = entry("acme/new", pins=None, pin_first_use=True)
    service = PolicyService(world.admin)
    service.apply(policy(wanted))
    publisher = world.admin.publishers(_resource("acme/new"))[0]
    grant = world.grant(publisher=publisher, first_use_pins={"repository_id": "77", "repository_owner_id": "88"})
    world.store.commit([grant])

    assert service.plan(policy(wanted)).changes == ()
    changed = service.apply(policy({**wanted, "ttl_seconds": 600}))
    assert [d.name for d in changed.changes[0].differences] == ["ttl_seconds"]
    pins = {pin.claim: pin.value for pin in world.admin.publisher(publisher.id).pins}
    assert pins == {"repository_id": "77", "repository_owner_id": "88"}
    moved = service.plan(policy({**wanted, "claims": {"repository": "acme/moved", "branch": "main"}}))
    assert ("pin repository_id", "77", "taken from the first use") in said(moved)[0][1]


def test_what_was_paused_stays_paused_unless_the_policy_says_otherwise(world: World) -> None:
    """T78: a policy that is applied every minute does not undo an alarm."""
    world.admin.set_publisher_enabled(world.publisher.id, enabled=False)
    service = PolicyService(world.admin)

    assert service.apply(policy(entry())).changes == ()
    assert not world.admin.publisher(world.publisher.id).enabled
    assert said(service.apply(policy(entry(enabled=True)))) == [("change", [("enabled", "no", None)])]
    assert world.admin.publisher(world.publisher.id).enabled
    service.apply(policy(entry(enabled=False)))
    assert not world.admin.publisher(world.publisher.id).enabled


def test_the_most_alike_are_paired(world: World) -> None:
    """D13: two publishers of one resource; each is compared with its own entry, whatever their order."""
    world.add_publisher(claims={"repository": ["acme/train"], "branch": ["dev"], "workflow": ["dev.yml"]})
    wanted = policy(
        entry(claims={"repository": "acme/train", "branch": "dev", "workflow": "new.yml"}),
        entry(ttl_seconds=600),
    )

    plan = PolicyService(world.admin).plan(wanted)

    assert sorted(said(plan)) == [
        ("change", [("claim workflow", "dev.yml", "new.yml")]),
        ("change", [("ttl_seconds", None, "600")]),
    ]


def test_tokens_given_under_other_terms_end(world: World) -> None:
    """T91: narrowed is withdrawn: the live tokens of a publisher whose claims change stop working with the change."""
    world.store.commit([world.grant(jti="old-terms")])
    state = world.store.token_state("old-terms")
    assert state is not None
    assert state.live

    PolicyService(world.admin).apply(policy(entry(ttl_seconds=600)))
    state = world.store.token_state("old-terms")
    assert state is not None
    assert state.live  # a shorter life for the next ones is no other trust
    PolicyService(world.admin).apply(policy(entry(claims={"repository": "acme/train", "branch": "release"})))
    state = world.store.token_state("old-terms")
    assert state is not None
    assert not state.live


def test_another_resource_server_makes_another_publisher(world: World) -> None:
    """D5: a publisher's tokens are for one audience; a change of it is a new publisher, shown as such."""
    world.admin.add_resource_server("registry", audience="https://r.example.org")

    plan = PolicyService(world.admin).apply(policy(entry(resource_server="registry")))

    assert said(plan) == [("replace", [("audience", "https://hub.example.org", "https://r.example.org")])]
    assert [p.audience for p in world.admin.publishers()] == ["https://r.example.org"]


def test_issuers_are_added_and_never_changed(world: World) -> None:
    """D13: what is configured otherwise is said, claim by claim, and left to a person."""
    mine = {"url": "https://ci.example.org", "immutable_claims": ["project_uuid"]}
    publisher = entry(
        "acme/ci", provider=None, issuer=mine["url"], claims={"sub": "release"}, pins={"project_uuid": "7"}
    )
    wanted = policy(publisher, issuer=[mine])
    plan = PolicyService(world.admin).apply(wanted)

    assert [change.action for change in plan.changes] == [Action.ADD_ISSUER, Action.ADD]
    assert PolicyService(world.admin).plan(wanted).changes == ()
    other = policy(issuer=[{**mine, "algorithms": ["EdDSA"]}])
    with pytest.raises(ConfigurationError, match=r"algorithms is .*, not EdDSA"):
        PolicyService(world.admin).plan(other)


def test_a_pending_publisher_waits_only_while_there_is_something_to_wait_for(world: World) -> None:
    """T93: applied again after its repository came into being, it is an ordinary one."""
    waiting = policy(entry("acme/later", pending=True))
    service = PolicyService(world.admin)
    service.apply(waiting)
    assert service.plan(waiting).changes == ()
    world.admin.note_existence(_resource("acme/later"))

    service.apply(waiting)
    assert [p.pending_until for p in world.admin.publishers(_resource("acme/later"))] == [None]


def test_a_plan_survives_the_wire(world: World) -> None:
    """D13: what the API answers is read back as the same plan with the same digest."""
    plan = PolicyService(world.admin).plan(policy(entry(ttl_seconds=600), entry("acme/new")))

    assert plan_from_json(plan_json(plan)) == plan
    assert plan_from_json(plan_json(plan)).digest == plan.digest


def _resource(text: str) -> Any:
    from keyless.resource import parse_resource

    return parse_resource(text)
