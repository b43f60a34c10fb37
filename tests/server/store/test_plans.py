"""Nothing that happens often, and no page of a list, reads a table from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from keyless.oidc.issuer import ReplayMode
from keyless.resource import ResourceType
from keyless.server.audit.reader import AuditFilter
from keyless.server.store import Grant, Refusal, Verdict
from keyless.server.store.sqlite import SqliteDatabase
from tests.server.store.plans import EXPLAINING, fill, postgres_scans, sqlite_scans, traced
from tests.server.store.world import START, World
from tests.support.postgres import PostgresServer, running_postgres


def work(world: World) -> None:
    """Do what happens often: exchanges of each kind, looks at tokens, and pages of lists."""
    store, once = world.store, ReplayMode.ONCE
    again = world.grant()
    waiting = world.add_unpinned_publisher()
    batch: list[Grant | Refusal] = [
        *(world.grant(max_live_tokens=cap, replay_mode=once) for cap in (0, 100, 100)),
        world.grant(replay_mode=ReplayMode.COUNTED),
        world.grant(max_grants_per_hour=50),
        world.grant(publisher=waiting, first_use_pins={"repository_id": "77", "repository_owner_id": "88"}),
        world.refusal(address="192.0.2.1"),
        again,
    ]
    assert [outcome.verdict for outcome in store.commit(batch)][:3] == [Verdict.GRANTED] * 3
    store.commit([world.grant(replay_key=again.replay_key)])
    store.commit([world.grant()])
    issuer = store.issuer_by_url(world.publisher.issuer_url)
    assert issuer is not None
    store.publishers(world.resource, issuer.id)
    store.publishers_naming(ResourceType.MODEL, issuer.id, {"repository": "acme/train"})
    store.resource_of_publisher(world.publisher.id)
    store.token_state(again.jti)
    store.revoke_token(again.jti, reason="test")
    store.purge(START + 1500)
    store.upkeep.remove_lapsed()
    store.upkeep.pause_unused(before=START - 30 * 86400)
    store.audit.forget_contacts(before=START - 30 * 86400)
    store.audit.forget_checkpoints(before=START - 7 * 86400)
    store.count_exchanges()
    store.exchange_hours(None)
    store.exchange_hours(["acme", "n1500"])
    store.purge_outbox()
    for event in store.take_from_outbox(20, 60):
        store.put_off(event, 60)
        store.cross_off(event)
    store.feed(world.publisher.audience, store.feed(world.publisher.audience, None).cursor)
    store.record_issuer_keys(issuer.id, {"thumbprint": "kid"}, actor="test")
    for wanted in (
        AuditFilter(),
        AuditFilter(resource="models/n1500/m"),
        AuditFilter(publisher_id="pub_1500"),
        AuditFilter(kind="publisher"),
        AuditFilter(actor="test"),
        AuditFilter(since=START + 2000, until=START + 3000),
    ):
        store.audit_events(wanted=wanted, limit=50)
        store.audit_page(wanted, namespaces=["acme", "n1500"], before=(START + 5000, 5000), limit=50)
    page = world.admin.publisher_page(namespaces=None, limit=50)
    world.admin.publisher_page(namespaces=None, after=page[-1][0], limit=50)
    world.admin.publisher_page(namespaces=["n1500"], limit=50)
    world.admin.publisher_page(namespaces=None, resource=world.resource, limit=50)


def test_sqlite_reads_no_growing_table_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4, D16: the plan of every statement that ran."""
    world = World(tmp_path / "keyless.db")
    fill(world.store, START)
    world.close()
    with traced(monkeypatch) as statements:
        again = World.on(tmp_path / "keyless.db", world)
        work(again)
        again.close()

    assert len(statements) > 50
    assert sqlite_scans(SqliteDatabase(tmp_path / "keyless.db"), statements) == {}


@pytest.fixture(scope="module")
def explaining() -> Iterator[PostgresServer]:
    """A server that writes the plan of each statement into its log."""
    with running_postgres(settings=EXPLAINING) as server:
        yield server


def test_postgres_reads_no_growing_table_from_end_to_end(explaining: PostgresServer) -> None:
    """D4, D16: the plan of every statement that ran, as the server chose it for so many rows."""
    world = World(explaining.create(template="template0"))
    fill(world.store, START)
    world.close()
    begin = (explaining.folder / "log").stat().st_size
    again = World.on(world.location, world)
    work(again)
    again.close()
    plans, scans = postgres_scans(explaining, begin)
    assert plans > 50
    assert not scans, "\n".join(scans)


def test_the_plans_are_those_of_the_server(explaining: PostgresServer) -> None:
    """D4: a statement that does read everything would be found."""
    world = World(explaining.create(template="template0"))
    fill(world.store, START)
    begin = (explaining.folder / "log").stat().st_size
    with psycopg.connect(explaining.url("postgres").reveal()):
        world.rows("SELECT count(*) FROM token WHERE ci_subject = 'x'")
    world.close()

    assert "Seq Scan on token" in (explaining.folder / "log").read_bytes()[begin:].decode()
