"""What an operator says about an issuer's keys counts at the next exchange of a running service."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from keyless.oidc.issuer import PinnedKeys
from keyless.server.app import TokenService
from keyless.server.audit.chain import Chain
from keyless.server.services.issuer_keys import IssuerKeyWatch, KeysReplaced
from keyless.server.settings import Settings
from keyless.server.store import issuer_keys, open_store
from keyless.server.store.admin import Administration
from keyless.testing import Clock, FakeIssuer, Fault
from tests.server.service import PUBLIC_URL, Service


@pytest.fixture
def own_issuer() -> Iterator[FakeIssuer]:
    """An issuer of this test's own, because it rotates."""
    with FakeIssuer(clock=Clock()) as issuer:
        yield issuer


@pytest.fixture
def service(tmp_path: Path, own_issuer: FakeIssuer) -> Iterator[Service]:
    """A service that trusts that issuer."""
    service = Service(tmp_path, own_issuer)
    service.add_publisher()
    yield service
    service.administration.close()
    service.app.close()


@pytest.fixture
def elsewhere(service: Service) -> Iterator[Administration]:
    """Administration of the same store as another process has it: over a store of its own."""
    with open_store(service.app.store.path) as store, Administration(store, actor="cli:other") as administration:
        yield administration


def test_a_distrusted_key_is_refused_at_the_next_exchange(
    service: Service, own_issuer: FakeIssuer, elsewhere: Administration
) -> None:
    """K15, D4, T33: said by another process, without a restart; other keys of the issuer go on, and undo works."""
    old = own_issuer.key
    own_issuer.rotate()
    assert service.exchange(service.mint(key=old)).status == 200
    elsewhere.set_issuer_key_trusted(own_issuer.url, old.kid, trusted=False)

    assert service.exchange(service.mint(key=old)).json["reason"] == "token_rejected"
    assert service.exchange().status == 200
    elsewhere.set_issuer_key_trusted(own_issuer.url, old.kid, trusted=True)
    assert service.exchange(service.mint(key=old)).status == 200
    kinds = [kind for kind, _ in service.audit()]
    assert kinds.count("issuer.key_distrusted") == kinds.count("issuer.key_trusted") == 1


def test_distrust_outlives_a_restart(service: Service, own_issuer: FakeIssuer, elsewhere: Administration) -> None:
    """K15: it is kept in the store."""
    elsewhere.set_issuer_key_trusted(own_issuer.url, own_issuer.key.kid, trusted=False)
    settings = Settings(public_url=PUBLIC_URL, database=service.app.store.path)
    with closing(TokenService(settings, inside_url="http://127.0.0.1:1", clock=service.clock)) as app:
        found = app.store.issuer_by_url(own_issuer.url)

    assert found is not None
    assert found.distrusted_kids == {own_issuer.key.kid}


def test_a_refresh_is_made_before_the_next_token_is_believed(
    service: Service, own_issuer: FakeIssuer, elsewhere: Administration
) -> None:
    """K15, T33: the withdrawn key dies at once instead of within the fresh time."""
    withdrawn = own_issuer.key
    assert service.exchange().status == 200
    own_issuer.rotate(keep=False)
    assert service.exchange(service.mint(key=withdrawn)).status == 200
    elsewhere.refresh_issuer_keys(own_issuer.url)

    assert service.exchange(service.mint(key=withdrawn)).json["reason"] == "token_rejected"
    assert service.exchange().status == 200


def test_pinned_keys_count_while_the_issuer_is_down_and_until_their_end(
    service: Service, own_issuer: FakeIssuer, elsewhere: Administration
) -> None:
    """K13: an issuer that cannot be reached is used by its pinned keys, and after their end it is an outage."""
    own_issuer.misbehave(Fault.UNAVAILABLE)
    ends = int(service.clock()) + 60
    elsewhere._clock = service.clock
    elsewhere.pin_issuer_keys(own_issuer.url, PinnedKeys(json.dumps(own_issuer.key_set()), ends))

    assert service.exchange().status == 200
    pinned = own_issuer.key
    own_issuer.rotate()
    assert service.exchange().json["reason"] == "token_rejected"
    token = service.mint(key=pinned)
    service.clock.advance(60)
    assert service.exchange(token).status == 503
    elsewhere.pin_issuer_keys(own_issuer.url, None)
    own_issuer.behave()
    service.monotonic.advance(60)
    assert service.exchange(token).status == 200


def replaced_events(service: Service) -> list[dict[str, list[str]]]:
    """Return the data of the alarms in the audit trail."""
    rows = service.rows("SELECT data FROM audit_event WHERE kind = 'issuer.keys_replaced'")
    return [json.loads(row[0]) for row in rows]


def test_a_key_set_swapped_whole_raises_an_alarm_once(
    service: Service, own_issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """T37: log, audit row and hook; also when the swap happened while no service was running, and not once more."""
    assert service.exchange().status == 200
    before = own_issuer.kids
    own_issuer.rotate(keep=False)
    settings = Settings(public_url=PUBLIC_URL, database=service.app.store.path)
    told: list[KeysReplaced] = []
    for _start in range(2):
        app = TokenService(
            settings,
            inside_url="http://127.0.0.1:1",
            clock=service.clock,
            monotonic=service.monotonic,
            on_keys_replaced=told.append,
        )
        service.app.close()
        service.app = app
        with caplog.at_level(logging.WARNING):
            assert service.exchange().status == 200

    assert [(alarm.issuer.url, alarm.before, alarm.after) for alarm in told] == [
        (own_issuer.url, frozenset(before), frozenset(own_issuer.kids))
    ]
    assert replaced_events(service) == [{"before": list(before), "after": list(own_issuer.kids)}]
    assert caplog.text.count("replaced all its keys at once") == 1


def test_new_keys_under_the_old_ids_raise_the_alarm(service: Service, own_issuer: FakeIssuer) -> None:
    """T37: ids are public, so whoever takes a host over can copy them."""
    assert service.exchange().status == 200
    kid = own_issuer.key.kid
    own_issuer.rotate(keep=False)
    object.__setattr__(own_issuer.key, "kid", kid)
    service.monotonic.advance(700)
    assert service.exchange().status == 200

    assert replaced_events(service) == [{"before": [kid], "after": [kid]}]


def test_a_rotation_that_overlaps_raises_no_alarm(service: Service, own_issuer: FakeIssuer) -> None:
    """T37: one old key is left each time, and in the end none of the first ones."""
    for _round in range(3):
        assert service.exchange().status == 200
        first = own_issuer.kids[0]
        own_issuer.rotate()
        service.monotonic.advance(700)
        assert service.exchange().status == 200
        own_issuer.withdraw(first)
        service.monotonic.advance(700)

    assert replaced_events(service) == []
    assert [kind for kind, _ in service.audit()].count("issuer.keys_changed") == 6


def test_the_hooks_mistake_is_not_the_callers(service: Service, own_issuer: FakeIssuer) -> None:
    """T37: an alarm must not become an outage."""

    def fail(_alarm: KeysReplaced) -> None:
        raise RuntimeError

    service.app._jwks._on_keys = IssuerKeyWatch(service.app.store, on_replaced=fail)
    assert service.exchange().status == 200
    own_issuer.rotate(keep=False)
    service.monotonic.advance(700)

    assert service.exchange().status == 200
    assert len(replaced_events(service)) == 1


def test_of_two_replicas_that_see_a_swap_one_tells(service: Service, own_issuer: FakeIssuer) -> None:
    """T37: each has read the old set before the other wrote the new one."""
    assert service.exchange().status == 200
    issuer = service.administration.issuer(own_issuer.url)
    store = service.app.store
    new = {"thumbprint-of-a-new-key": "new"}
    first = store.record_issuer_keys(issuer.id, new, actor="a")

    assert first == frozenset(own_issuer.kids)
    with closing(store.database.connect()) as connection:
        cursor = connection.cursor()
        stale = StaleCursor(cursor, {"thumbprint-of-an-old-key": "old"})
        assert issuer_keys.write_seen(cast("Any", stale), Chain(), issuer.id, new | {"x": "y"}, at=0, actor="b") is None
    assert len(replaced_events(service)) == 1


class StaleCursor:
    """A cursor whose transaction began before somebody else's ended: it reads what was."""

    def __init__(self, cursor: Any, seen: dict[str, str]) -> None:
        self._cursor = cursor
        self._seen = seen

    def execute(self, query: str, parameters: tuple[object, ...] = ()) -> Any:
        """Run a query; the one for the last known keys gets the old ones."""
        if query.startswith("SELECT seen_keys"):
            return self
        return self._cursor.execute(query, parameters)

    def fetchone(self) -> tuple[str]:
        """Return the old keys."""
        return (json.dumps(self._seen),)

    @property
    def rowcount(self) -> int:
        """Return how many rows the last change met."""
        return int(self._cursor.rowcount)
