"""Pages of the audit: every way to ask finds what is there, in order, and none looks further than it may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.server.audit import pages
from keyless.server.audit.pages import Page
from keyless.server.audit.reader import AuditFilter, AuditRecord
from keyless.server.database_url import DatabaseLocation
from tests.server.store.world import START, World


@pytest.fixture
def world(location: DatabaseLocation) -> Iterator[World]:
    """A store with some hundred events: of three namespaces, of times that repeat."""
    made = World(location)
    for number in range(40):
        made.clock.now = START + number // 3
        made.store.commit(
            [
                made.grant(ci_subject=f"sub {number}"),
                made.refusal(resource=f"models/other/m{number % 4}"),
                made.refusal(resource="users/acme", reason="locked"),
                made.refusal(resource="users/acme2"),
            ]
        )
    yield made
    made.close()


def walk(world: World, wanted: AuditFilter, limit: int = 7, namespaces: list[str] | None = None) -> list[AuditRecord]:
    """Follow pages to their end."""
    found: list[AuditRecord] = []
    page = Page([], None)
    while True:
        page = world.store.audit_page(wanted, namespaces=namespaces, before=page.before, limit=limit)
        found += page.records
        if page.before is None:
            return found


EVERY_WAY = {
    "everything": AuditFilter(),
    "resource": AuditFilter(resource="models/other/m1"),
    "kind": AuditFilter(kind="exchange.refused"),
    "group": AuditFilter(kind="exchange"),
    "kinds": AuditFilter(kinds=frozenset({"token.granted", "publisher.added"})),
    "actor": AuditFilter(actor="test"),
    "time": AuditFilter(since=START + 2, until=START + 9),
    "two": AuditFilter(resource="users/acme", kind="exchange", since=START + 2),
    "nothing": AuditFilter(kind="no such thing"),
}


@pytest.mark.parametrize("name", EVERY_WAY)
@pytest.mark.parametrize("scanned_rows", [10, 2000])
def test_pages_hold_what_is_wanted_newest_first(
    world: World, name: str, scanned_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D15: whatever the index, and however soon a page ends, nothing is left out and nothing comes twice."""
    monkeypatch.setattr(pages, "SCANNED_ROWS", scanned_rows)
    wanted = EVERY_WAY[name]
    texts, values = wanted.conditions()
    where = f"WHERE {' AND '.join(texts)}" if texts else ""
    expected = world.rows(f"SELECT e.id FROM audit_event e {where} ORDER BY e.at DESC, e.id DESC", *values)

    assert [record.id for record in walk(world, wanted)] == [number for (number,) in expected]


@pytest.mark.parametrize("most", [100, 0])
def test_a_page_for_somebody_holds_their_namespaces_alone(
    world: World, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T94, T113: `acme` is not `acme2`, with few resources that are looked up one by one or with many."""
    monkeypatch.setattr(pages, "MAX_RESOURCES", most)
    mine = walk(world, AuditFilter(), namespaces=["acme"])
    theirs = walk(world, AuditFilter(kind="exchange"), namespaces=["other"])

    assert {record.resource for record in mine} == {"models/acme/model", "users/acme"}
    assert len([record for record in mine if record.kind == "token.granted"]) == 40
    assert len(theirs) == 40
    assert walk(world, AuditFilter(resource="models/other/m1"), namespaces=["acme"]) == []


def test_a_page_looks_no_further_than_it_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: what is rare is offered further back, and asking for it costs the same with any number of events."""
    monkeypatch.setattr(pages, "SCANNED_ROWS", 50)
    monkeypatch.setattr(pages, "_CHUNK_ROWS", 10)
    assert world.store.audit_page(AuditFilter(resource="users/acme2", kind="token.granted"), limit=5) == Page([], None)
    page = world.store.audit_page(AuditFilter(kinds=frozenset({"token.granted", "key.added"})), limit=5)
    assert [record.kind for record in page.records] == ["token.granted"] * 5
    page = world.store.audit_page(AuditFilter(kinds=frozenset({"token.granted", "key.added"})), limit=100)
    assert 0 < len(page.records) < 40
    assert page.before is not None


def test_the_first_page_of_a_new_store_is_there(tmp_path: Path) -> None:
    """D15: what a start writes is all there is."""
    world = World(tmp_path / "new.db")

    page = world.store.audit_page(AuditFilter(), limit=50)

    assert page.before is None
    assert page.records[0].kind == "publisher.added"
    world.close()
