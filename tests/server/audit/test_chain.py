from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.server.audit.chain import COLUMNS, GENESIS, INSERT_EVENT, Chain
from keyless.server.audit.event import AuditEvent, event_data, event_hash
from keyless.server.audit.pages import read_events
from keyless.server.audit.verify import MAX_PROBLEMS, verify_chain
from keyless.server.store import open_store


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A migrated database whose audit triggers an intruder with the file took away."""
    open_store(tmp_path / "keyless.db").close()
    opened = sqlite3.connect(tmp_path / "keyless.db", isolation_level=None)
    opened.execute("DROP TRIGGER audit_event_no_update")
    opened.execute("DROP TRIGGER audit_event_no_delete")
    yield opened
    opened.close()


def write(connection: sqlite3.Connection, chain: Chain, count: int = 5) -> None:
    for number in range(count):
        event = AuditEvent(at=number, kind="token.granted", resource="models/a/b", data=event_data(use=number))
        connection.execute(INSERT_EVENT, chain.link(event))
    chain.confirm()


def test_whole_chains_of_several_writers_are_intact(connection: sqlite3.Connection) -> None:
    """D15: one chain per writer, interleaved in one table."""
    first, second = Chain(), Chain()
    for _ in range(3):
        write(connection, first, 2)
        write(connection, second, 1)

    report = verify_chain(connection)
    assert (report.writers, report.events, report.intact) == (2, 9, True)


@pytest.mark.parametrize("column", [c.strip() for c in COLUMNS.split(",")])
def test_any_changed_column_is_noticed(connection: sqlite3.Connection, column: str) -> None:
    """D15: the hash covers every column, the links included."""
    write(connection, Chain("w_one"))
    value = (
        "x'00'" if column in {"hash", "previous"} else "7777" if column in {"at", "sequence", "issuer_id"} else "'x'"
    )
    connection.execute(f"UPDATE audit_event SET {column} = {value} WHERE sequence = 3")

    assert not verify_chain(connection).intact


@pytest.mark.parametrize("sequence", [1, 3])
def test_a_missing_event_is_noticed(connection: sqlite3.Connection, sequence: int) -> None:
    """D15: nothing can be taken out of the beginning or the middle."""
    write(connection, Chain())
    connection.execute("DELETE FROM audit_event WHERE sequence = ?", (sequence,))

    report = verify_chain(connection)
    assert not report.intact
    assert f"event {sequence} is missing" in report.problems[0]


def test_a_forged_event_in_the_middle_is_noticed(connection: sqlite3.Connection) -> None:
    """D15: a row with a good hash of its own still does not fit its neighbour."""
    write(connection, Chain("w_one"))
    event = AuditEvent(at=1, kind="token.granted", reason="forged")
    digest = event_hash(bytes(32), "w_one", 3, event)
    connection.execute("DELETE FROM audit_event WHERE sequence = 3")
    connection.execute(INSERT_EVENT, ("w_one", 3, bytes(32), digest, *event))

    assert any("does not follow" in problem for problem in verify_chain(connection).problems)


def test_a_destroyed_audit_gives_a_bounded_report(connection: sqlite3.Connection) -> None:
    """T40: the report of a big broken database fits on a screen."""
    write(connection, Chain(), 300)
    connection.execute("UPDATE audit_event SET kind = 'x'")

    assert len(verify_chain(connection).problems) == MAX_PROBLEMS


def test_a_rolled_back_transaction_leaves_the_head_where_it_was() -> None:
    """D15: the chain only counts what is committed."""
    chain = Chain()
    chain.link(AuditEvent(at=1, kind="a"))
    chain.confirm()
    head = chain.position
    chain.link(AuditEvent(at=2, kind="b"))
    chain.discard()

    assert chain.position == head
    assert head[0] == 1


def test_a_new_process_starts_a_new_chain() -> None:
    """D15: writers never share a chain, so they never wait for each other."""
    first, second = Chain(), Chain()

    assert first.writer != second.writer
    assert first.position == second.position == (0, GENESIS)


def test_no_two_events_hash_alike() -> None:
    """D15: moving text from one field to the next changes the hash."""
    one = AuditEvent(at=1, kind="a", actor="bc")
    other = AuditEvent(at=1, kind="ab", actor="c")

    assert event_hash(GENESIS, "w", 1, one) != event_hash(GENESIS, "w", 1, other)
    assert event_hash(GENESIS, "w", 1, one) != event_hash(GENESIS, "w1", 1, one)


def test_the_latest_events_are_read_newest_last(connection: sqlite3.Connection) -> None:
    """S10: what an owner sees of a resource."""
    write(connection, Chain())
    connection.execute(INSERT_EVENT, Chain().link(AuditEvent(at=9, kind="issuer.added")))

    assert [record.at for record in read_events(connection, limit=3)] == [3, 4, 9]
    assert [record.data for record in read_events(connection, resource="models/a/b", limit=2)] == [
        {"use": 3},
        {"use": 4},
    ]
    assert read_events(connection, resource="models/a/other") == []
