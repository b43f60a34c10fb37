"""Several processes' stores on one PostgreSQL database, and what must be exact between them."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest

from keyless.errors import UnavailableError
from keyless.oidc.issuer import ReplayMode
from keyless.server.database_url import PostgresUrl
from keyless.server.store import Outcome, Store, Verdict, open_store
from keyless.server.store.admin import Administration
from keyless.server.store.postgres import Driver, PostgresConnection, PostgresDatabase
from keyless.server.store.postgres_locks import TRUST_LOCK
from keyless.server.store.postgres_watch import ListeningWatch
from tests.server.store.world import World
from tests.support.postgres import PostgresServer, running_postgres

TRIALS = 200


@pytest.fixture
def world(postgres: PostgresServer) -> Iterator[World]:
    """A store on PostgreSQL."""
    made = World(postgres.reset("shared"))
    yield made
    made.close()


@pytest.fixture
def replicas(world: World) -> Iterator[list[Store]]:
    """Three stores of one database, the world's among them."""
    with ExitStack() as stack:
        others = [stack.enter_context(open_store(world.location, clock=world.clock)) for _ in range(2)]
        yield [world.store, *others]


def together(*work: Callable[[], object]) -> None:
    """Run functions at once, each on a thread of its own, and raise what they raised."""
    barrier, errors = threading.Barrier(len(work)), list[Exception]()

    def run(function: Callable[[], object]) -> None:
        barrier.wait()
        try:
            function()
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_an_id_token_is_exchanged_once_whichever_replica_it_goes_to(world: World, replicas: list[Store]) -> None:
    """D8, T47, T52: 3 x 64 tokens, each sent to all replicas at once; none is granted twice, none not at all."""
    outcomes: list[Outcome] = []
    keys = [bytes([number]) * 32 for number in range(64)]

    def exchange(store: Store, order: int) -> Callable[[], None]:
        def run() -> None:
            batch = [world.grant(replay_key=key) for key in keys[::order]]
            outcomes.extend(store.commit(batch))

        return run

    together(*(exchange(store, order) for store, order in zip(replicas, (1, -1, 1), strict=True)))

    assert Counter(outcome.verdict for outcome in outcomes) == {Verdict.GRANTED: 64, Verdict.REPLAYED: 128}
    assert world.counts() == {"claims": 64, "tokens": 64, "grants": 64}
    assert world.store.verify_chain().intact


def test_uses_of_a_counted_token_are_counted_over_all_replicas(world: World, replicas: list[Store]) -> None:
    """D8: at most 64 uses; 3 x 40 are tried at once, in batches and alone."""
    outcomes: list[Outcome] = []

    def exchange(store: Store, size: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(40 // size):
                batch = [world.grant(replay_key=b"k" * 32, replay_mode=ReplayMode.COUNTED) for _ in range(size)]
                outcomes.extend(store.commit(batch))

        return run

    together(*(exchange(store, size) for store, size in zip(replicas, (1, 4, 40), strict=True)))

    granted = sorted(outcome.use or 0 for outcome in outcomes if outcome.verdict is Verdict.GRANTED)
    assert granted == list(range(1, 65))
    assert Counter(outcome.verdict for outcome in outcomes)[Verdict.REPLAYED] == 120 - 64


def test_the_cap_of_live_tokens_holds_over_all_replicas(world: World, replicas: list[Store]) -> None:
    """T117: 3 x 40 grants at once to a publisher that may have 50 live tokens."""
    outcomes: list[Outcome] = []

    def exchange(store: Store, size: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(40 // size):
                outcomes.extend(store.commit([world.grant(max_live_tokens=50) for _ in range(size)]))

        return run

    together(*(exchange(store, size) for store, size in zip(replicas, (1, 5, 20), strict=True)))

    assert Counter(o.verdict for o in outcomes) == {Verdict.GRANTED: 50, Verdict.TOO_MANY_TOKENS: 70}
    assert world.counts() == {"claims": 50, "tokens": 50, "grants": 50}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_removed_publisher_never_again_yields_a_token_at_another_replica(world: World, replicas: list[Store]) -> None:
    """D16, T91: each removal amid exchanges at another replica; none is granted after it, also in the audit's order."""
    late = granted = 0
    with Administration(replicas[0], actor="test") as administration:
        for trial in range(TRIALS):
            publisher = world.add_publisher(claims={"repository": [f"acme/r{trial}"]})
            done = threading.Event()
            mints: list[tuple[bool, Outcome]] = []

            def exchange(
                publisher: object = publisher, done: threading.Event = done, mints: list[tuple[bool, Outcome]] = mints
            ) -> None:
                while True:
                    after = done.is_set()
                    mints.append((after, replicas[1].commit([world.grant(publisher=publisher)])[0]))
                    if after:
                        return

            def remove(publisher_id: str = publisher.id, done: threading.Event = done) -> None:
                administration.remove_publisher(publisher_id)
                done.set()

            together(exchange, remove)
            granted += sum(outcome.verdict is Verdict.GRANTED for _, outcome in mints)
            late += sum(after and outcome.verdict is Verdict.GRANTED for after, outcome in mints)

    out_of_order = world.rows(
        "SELECT count(*) FROM audit_event g JOIN audit_event r ON r.publisher_id = g.publisher_id"
        " WHERE g.kind = 'token.granted' AND r.kind = 'publisher.removed' AND g.id > r.id"
    )
    assert late == 0
    assert out_of_order == [(0,)]
    assert granted > TRIALS / 4  # they did meet


@pytest.mark.parametrize("what", ["disabled", "issuer off", "locked"])
def test_what_is_switched_off_at_one_replica_is_off_at_the_others(
    world: World, replicas: list[Store], what: str
) -> None:
    """D16: the mint looks again, however old the other replica's snapshot is."""
    assert replicas[1].publishers(world.resource, world.publisher.issuer_id)
    match what:
        case "disabled":
            world.admin.set_publisher_enabled(world.publisher.id, enabled=False)
        case "issuer off":
            world.admin.set_issuer_enabled(world.publisher.issuer_url, enabled=False)
        case _:
            world.admin.set_resource_state(world.resource, "locked")

    assert replicas[1].commit([world.grant()])[0].verdict is Verdict.PUBLISHER_CHANGED


def test_a_change_at_one_replica_is_heard_of_at_the_others(world: World, replicas: list[Store]) -> None:
    """D4: within a second, without a question of the exchange."""
    other = replicas[1]
    assert len(other.publishers(world.resource, world.publisher.issuer_id)) == 1
    wait_until(lambda: watch_of(other)._listening)

    world.add_publisher(claims={"repository": ["acme/second"]})

    wait_until(lambda: len(other.publishers(world.resource, world.publisher.issuer_id)) == 2, seconds=1)


def test_a_lost_listener_makes_no_snapshot_old_for_long(
    world: World, replicas: list[Store], postgres: PostgresServer
) -> None:
    """D4: the server ends all connections; what changes meanwhile is known after a moment."""
    other = replicas[1]
    other.publishers(world.resource, world.publisher.issuer_id)
    wait_until(lambda: watch_of(other)._listening)
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shared' AND query LIKE 'LISTEN%'"
        " OR datname = 'shared' AND query LIKE '%clock_timestamp%'"
    )
    world.add_publisher(claims={"repository": ["acme/second"]})

    wait_until(lambda: len(other.publishers(world.resource, world.publisher.issuer_id)) == 2, seconds=3)


def test_a_commit_that_is_still_on_its_way_is_ended_before_anybody_looks_for_it(
    world: World, postgres: PostgresServer
) -> None:
    """D14, T50: the connection is gone, the server does not know it; its transaction must not be committed later."""
    grant = world.grant()
    connection = world.store._write_connection
    assert isinstance(connection, PostgresConnection)

    def lose(connection: PostgresConnection) -> None:
        driver = connection.driver()
        lost.append(driver)
        connection._remember(driver)  # as after a time-out: the server still has the transaction open
        raise psycopg.OperationalError("the database did not answer in time")

    lost: list[psycopg.Connection[tuple[object, ...]]] = []
    good, world.store._batches._seal = world.store._batches._seal, lose  # type: ignore[assignment]  # of this engine
    with pytest.raises(UnavailableError):
        world.store.commit([grant])
    world.store._batches._seal = good

    assert world.store.commit([grant])[0].verdict is Verdict.GRANTED
    with pytest.raises(psycopg.OperationalError):
        lost[0].execute("COMMIT")
    lost[0].close()
    assert world.counts() == {"claims": 1, "tokens": 1, "grants": 1}


def test_a_database_that_does_not_answer_is_an_outage_within_seconds(world: World, postgres: PostgresServer) -> None:
    """D9, T52: somebody holds the lock; 503 comes soon, and the next exchange works without a restart."""
    with psycopg.connect(postgres.url("shared").reveal(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (TRUST_LOCK,))
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            world.store.commit([world.grant()])
        assert time.monotonic() - began < 10

    assert world.store.commit([world.grant()])[0].verdict is Verdict.GRANTED


def test_who_cannot_connect_does_not_try_again_at_once(postgres: PostgresServer) -> None:
    """D9: no request waits for what failed a moment ago."""
    database = PostgresDatabase(postgres.url("shared"))
    missing = PostgresDatabase(type(database.url)(database.url.reveal().replace(str(postgres.folder), "/nonexistent")))
    with pytest.raises(psycopg.OperationalError):
        missing.connect().execute("SELECT 1")

    with pytest.raises(UnavailableError):
        missing.connect().execute("SELECT 1")


def test_nobody_waits_for_a_database_that_is_known_to_be_gone(postgres: PostgresServer) -> None:
    """D9: one thread looks for it; everybody else is answered at once, until it is found."""
    database = PostgresDatabase(postgres.url("shared"))
    database.gone = True
    with closing(database.connect()) as connection, pytest.raises(UnavailableError):
        connection.execute("SELECT 1")

    database.open_driver(read_only=True, seconds=1, looking=True).close()
    database.gone = False
    with closing(database.connect()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_falls_silent_is_waited_for_once_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """D9: nobody connects to what does not answer but the thread that looks for it; recovery is by itself."""
    with running_postgres() as server:
        world = World(server.create(template="template0"))
        database = world.store.database
        assert isinstance(database, PostgresDatabase)
        world.store.publishers(world.resource, world.publisher.issuer_id)
        wait_until(lambda: watch_of(world.store)._listening)
        opened: list[str] = []
        connect = Driver.open

        def count(url: PostgresUrl, *, read_only: bool, seconds: float) -> Driver:
            opened.append(threading.current_thread().name)
            return connect(url, read_only=read_only, seconds=seconds)

        monkeypatch.setattr(Driver, "open", count)
        processes = server.processes()
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(UnavailableError):
                world.store.commit([world.grant()])
            assert database.gone
            for _ in range(3):
                with pytest.raises(UnavailableError):
                    world.store.commit([world.grant()])
                with pytest.raises(UnavailableError):
                    world.store.token_state("token-1")
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

        assert set(opened) <= {"keyless-listen"}
        wait_until(lambda: works(lambda: world.store.commit([world.grant()])), seconds=30)
        assert world.store.verify_chain().intact
        world.close()


def works(act: Callable[[], object]) -> bool:
    try:
        act()
    except UnavailableError:
        return False
    return True


def test_a_clock_that_differs_from_the_databases_is_known(world: World) -> None:
    """V11: readiness and exchanges depend on it."""
    assert abs(world.store.measure_clock() or 99) < 2
    watch = watch_of(world.store)
    watch._clock = lambda: time.time() + 90

    assert abs((world.store.measure_clock() or 0) - 90) < 2


def watch_of(store: Store) -> ListeningWatch:
    """Return what watches for changes in a store's process."""
    watch = store._trust._watch
    assert isinstance(watch, ListeningWatch)
    return watch


def wait_until(condition: Callable[[], object], *, seconds: float = 10) -> None:
    """Wait until something is so, or fail."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_changes_are_heard_of_with_a_thousand_descriptors_open(world: World) -> None:
    """D4: a replica with many connections of clients has large descriptor numbers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(600):
            one, other = socket.socketpair()
            stack.enter_context(one)
            stack.enter_context(other)
        with open_store(world.location, clock=world.clock) as store:
            store.publishers(world.resource, world.publisher.issuer_id)
            wait_until(lambda: watch_of(store)._listening)
            world.add_publisher(claims={"repository": ["acme/second"]})

            wait_until(lambda: len(store.publishers(world.resource, world.publisher.issuer_id)) == 2, seconds=1.5)
            assert watch_of(store)._listening
