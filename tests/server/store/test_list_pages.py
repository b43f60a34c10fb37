"""Lists that people page through: by key, along an index, on both engines; no page reads a whole table (D4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from keyless.resource import parse_resource
from keyless.server.database_url import DatabaseLocation
from keyless.server.people.principal import PrincipalKind
from keyless.server.store import open_store
from keyless.server.store.admin import Administration, NewPublisher, People, resource_list, token_list
from keyless.server.store.admin.principals import parse_role
from tests.server.store.world import START, World

NAMES = [f"{space}/m{number}" for space in ("acme", "other", "third") for number in range(7)]


@pytest.fixture
def administration(location: DatabaseLocation) -> Iterator[Administration]:
    """A store on each engine with 21 publishers in three namespaces."""
    with open_store(location) as store:
        store.ensure_default_resource_server("https://hub.example.org", "keyless")
        with Administration(store, actor="test") as administration:
            with administration.together():
                for name in reversed(NAMES):
                    administration.add_publisher(_new(name))
            yield administration


def _new(name: str) -> NewPublisher:
    return NewPublisher(
        resource=parse_resource(name),
        issuer_url="https://token.actions.githubusercontent.com",
        claims={"repository": ["acme/train"], "branch": ["main"]},
        pins={"repository_id": "11", "repository_owner_id": "22"},
    )


@pytest.mark.parametrize("limit", [1, 4, 100])
@pytest.mark.parametrize("namespaces", [None, frozenset({"acme", "third"}), frozenset({"nobody"}), frozenset()])
def test_pages_hold_each_thing_once_in_order(
    administration: Administration, limit: int, namespaces: frozenset[str] | None
) -> None:
    """T113: of the namespaces that are asked for and no other; publishers and resources alike."""
    wanted = sorted(name for name in NAMES if namespaces is None or name.split("/")[0] in namespaces)
    publishers: list[str] = []
    resources: list[str] = []
    after: Any = None
    while page := administration.publisher_page(namespaces=namespaces, after=after, limit=limit):
        publishers += [publisher.resource.short for _, publisher in page]
        after = page[-1][0]
    after = None
    with administration.reading() as connection:
        while states := resource_list.page(connection, namespaces=namespaces, after=after, limit=limit):
            resources += [state.resource.short for _, state in states]
            after = states[-1][0]

    # Namespaces come in the order in which they were made, what is in one of them by type and name.
    assert sorted(publishers) == sorted(resources) == wanted
    assert publishers == resources


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_resources_by_name_are_those_that_may_be_seen(administration: Administration, limit: int) -> None:
    """T94: `acme` is not `acme2`, and an account is its namespace's."""
    for name in ("acme", "acme2", "acme2/m0", "datasets/acme/d0"):
        administration.add_publisher(_new(name))
    seen: dict[str, list[str]] = {}
    for prefix in ("", "models/acme/m", "users"):
        found: list[str] = []
        with administration.reading() as connection:
            while page := resource_list.by_name(
                connection, namespaces={"acme"}, prefix=prefix, after=found[-1] if found else None, limit=limit
            ):
                found += [str(state.resource) for state in page]
        seen[prefix] = found

    models = [f"models/acme/m{number}" for number in range(7)]
    assert seen[""] == ["datasets/acme/d0", *models, "users/acme"]
    assert seen["models/acme/m"] == models
    assert seen["users"] == ["users/acme"]


@pytest.mark.parametrize("most", [100, 0])
def test_ending_tokens_are_those_that_may_be_seen(
    location: DatabaseLocation, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T94: those that end first lead, whether publishers are looked up one by one or are too many for that."""
    monkeypatch.setattr(token_list, "MAX_PUBLISHERS", most)
    world = World(location)
    foreign = world.add_publisher(resource=parse_resource("other/model"))
    for number in range(6):
        publisher = foreign if number % 3 == 0 else world.publisher
        world.store.commit([world.grant(publisher=publisher, jti=f"t{number}", expires_at=START + 900 - number)])
    found: list[str] = []
    after: tuple[int, str] | None = None
    with world.admin.reading() as connection:
        while page := token_list.ending(connection, namespaces={"acme"}, now=START, after=after, limit=3):
            found += [token.jti for token in page]
            after = page[-1].expires_at, page[-1].jti
    world.close()

    assert found == ["t5", "t4", "t2", "t1"]


def test_no_page_reads_a_whole_table(tmp_path: Path) -> None:
    """D4: the plan of every statement of every list searches along an index; SQLite says so itself."""
    with open_store(tmp_path / "keyless.db") as store:
        store.ensure_default_resource_server("https://hub.example.org", "keyless")
        with Administration(store, actor="test") as administration:
            publisher = administration.add_publisher(_new("acme/model"))
            people = People(administration)
            people.add("alice", kind=PrincipalKind.PERSON, roles=[parse_role("admin")])
            plans: list[tuple[str, str]] = []
            watching = True

            @event.listens_for(administration._engine, "before_cursor_execute")
            def _explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
                nonlocal watching
                if watching and statement.startswith("SELECT"):
                    watching = False
                    rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                    plans.extend((statement, str(row[3])) for row in rows)
                    watching = True

            key = (1, "model", "m", "pub_x")
            administration.publisher_page(namespaces=None, after=key)
            administration.publisher_page(namespaces=None)
            administration.publisher_page(namespaces={"acme"}, after=key)
            administration.publisher_page(namespaces=None, resource=publisher.resource)
            administration.issuer_page(after=3)
            administration.resource_server_page(after=3)
            people.page(after="a")
            people.page()
            people.logins("alice", after="lgn_x")
            with administration.reading() as connection:
                resource_list.page(connection, namespaces=None, after=key[:3], limit=9)
                resource_list.page(connection, namespaces={"acme"}, after=None, limit=9)
                resource_list.namespace_page(connection, namespaces=None, after="a", limit=9)
                resource_list.namespace_page(connection, namespaces={"acme", "b"}, after=None, limit=9)
                token_list.latest(connection, before=None, limit=9)
                token_list.latest(connection, before="x", limit=9)
                token_list.live(connection, [publisher.id], now=1, after=(publisher.id, 2, "x"), limit=9)

    assert len({statement for statement, _ in plans}) > 15
    assert [plan for plan in plans if plan[1].startswith("SCAN") and plan[1] != "SCAN page"] == []
    # Sorted is what one page holds, and nothing more.
    assert [s for s, plan in plans if plan == "USE TEMP B-TREE FOR ORDER BY" and " AS page " not in s] == []
