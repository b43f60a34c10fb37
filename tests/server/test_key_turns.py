"""Two replicas of one service and a flood of invented key ids: the issuer is asked as seldom as by one (K03)."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.errors import UnavailableError
from keyless.oidc.issuer import Issuer
from keyless.oidc.shared_keys import FetchedKeys
from keyless.server.store.key_turns import StoredKeyTurns
from keyless.testing import Clock, FakeIssuer, Fault
from tests.server.service import Service
from tests.support.postgres import PostgresServer


@pytest.fixture
def own_issuer() -> Iterator[FakeIssuer]:
    """An issuer whose keys a test may change."""
    with FakeIssuer(clock=Clock()) as issuer:
        yield issuer


@pytest.fixture
def replicas(
    postgres: PostgresServer, tmp_path: Path, first_start: Path, own_issuer: FakeIssuer
) -> Iterator[tuple[Service, Service]]:
    """Two services on one PostgreSQL database that have both seen a good token."""
    location = postgres.reset("shared")
    made: list[Service] = []
    for name in ("one", "two"):
        shutil.copytree(first_start, tmp_path / name)
        made.append(Service(tmp_path / name, own_issuer, fresh=not made, database=location))
    made[0].add_publisher()
    for service in made:
        assert service.exchange().status == 200
    yield made[0], made[1]
    for service in made:
        service.administration.close()
        service.app.close()


def advance(replicas: tuple[Service, Service], seconds: float) -> None:
    for service in replicas:
        service.clock.advance(seconds)
        service.monotonic.advance(seconds)


def flood(replicas: tuple[Service, Service], count: int = 10) -> set[int]:
    """Send tokens with invented key ids to both, one after the other; return the statuses."""
    return {
        service.exchange(service.mint(header={"kid": secrets.token_hex(8)})).status
        for _ in range(count)
        for service in replicas
    }


def test_a_flood_at_two_replicas_asks_the_issuer_as_seldom_as_at_one(
    replicas: tuple[Service, Service], own_issuer: FakeIssuer
) -> None:
    """K03, D9: one fetch in each cool-down, whichever replica makes it; what nobody can tell is 503."""
    before = own_issuer.fetches["jwks"]
    for window in range(1, 4):
        advance(replicas, 31)
        assert flood(replicas) <= {400, 503}
        assert own_issuer.fetches["jwks"] - before == window


def test_what_one_replica_fetched_serves_the_other(replicas: tuple[Service, Service], own_issuer: FakeIssuer) -> None:
    """K03, K06: after a rotation the second replica needs no fetch of its own, and refuses no good token."""
    advance(replicas, 31)
    own_issuer.rotate()
    before = own_issuer.fetches["jwks"]

    assert [service.exchange().status for service in replicas] == [200, 200]
    assert own_issuer.fetches["jwks"] - before == 1


def test_an_older_answer_of_another_replica_refuses_nothing(
    replicas: tuple[Service, Service], own_issuer: FakeIssuer
) -> None:
    """K06, D9: the key may have been published since, so it is 503 until somebody has asked again."""
    one, two = replicas
    advance(replicas, 31)
    assert one.exchange(one.mint(header={"kid": "invented"})).status == 400
    advance(replicas, 5)
    own_issuer.rotate()

    assert two.exchange().status == 503
    advance(replicas, 31)
    assert two.exchange().status == 200


def test_a_replica_that_fails_leaves_the_turn_to_the_other(
    replicas: tuple[Service, Service], own_issuer: FakeIssuer
) -> None:
    """K05: one with a bad way to the issuer takes nobody's chance."""
    one, two = replicas
    advance(replicas, 31)
    own_issuer.rotate()
    own_issuer.misbehave(Fault.UNAVAILABLE)
    assert one.exchange().status == 503
    own_issuer.behave()

    assert two.exchange().status == 200


def test_without_the_database_each_replica_is_on_its_own(
    replicas: tuple[Service, Service], own_issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D9: known keys need no database, and an unknown one is fetched as before."""

    def gone(*_: object, **__: object) -> None:
        raise UnavailableError("the database does not answer right now", retry_after=2)

    monkeypatch.setattr(StoredKeyTurns, "take_turn", gone)
    one, two = replicas
    advance(replicas, 31)
    assert one.exchange().status == 200
    own_issuer.rotate()
    before = own_issuer.fetches["jwks"]

    assert [one.exchange().status, two.exchange().status] == [200, 200]
    assert own_issuer.fetches["jwks"] - before == 2


def test_a_turn_is_waited_for_and_taken_over_when_nobody_ends_it(service: Service) -> None:
    """K07: on both engines; a replica that died inside its turn holds nobody up for longer than a fetch takes."""
    store, clock = service.app.store, service.clock
    found = store.issuer_by_url(service.issuer.url)
    assert isinstance(found, Issuer)
    keys = FetchedKeys(b'{"keys": []}', "https://i.example/keys", 60)
    first, second = (
        StoredKeyTurns(clock, reading=store._aside, writing=store._writing, sleep=clock.advance) for _ in range(2)
    )

    assert first.take_turn(found, every_seconds=30, wait_seconds=7) is None
    assert second.take_turn(found, every_seconds=30, wait_seconds=7) is None  # seven seconds later
    first.end_turn(found, keys)  # too late: it is not its turn any more
    second.end_turn(found, keys)
    again = first.take_turn(found, every_seconds=30, wait_seconds=7)
    assert again is not None
    assert (again.jwks, again.jwks_uri, again.max_age_seconds) == (keys.jwks, keys.jwks_uri, 60)
    clock.advance(30)
    assert first.take_turn(found, every_seconds=30, wait_seconds=7) is None
    first.end_turn(found, None)
    assert second.take_turn(found, every_seconds=30, wait_seconds=7) is None
