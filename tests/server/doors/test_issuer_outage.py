"""What callers get while an issuer is down or changes its keys, through the endpoint."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.server.store.admin import description_of
from keyless.testing import Clock, FakeIssuer, Fault
from tests.server.service import Service


@pytest.fixture
def own_issuer() -> Iterator[FakeIssuer]:
    """An issuer of this test's own, because it goes down and rotates."""
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


def test_warm_cache_outlives_an_hour_of_outage(service: Service, own_issuer: FakeIssuer) -> None:
    """K02, K05, K06: an issuer that is down for an hour refuses nobody whose key is known."""
    assert service.exchange().status == 200
    own_issuer.misbehave(Fault.UNAVAILABLE)
    statuses = Counter[int]()
    for _minute in range(60):
        service.monotonic.advance(60)
        statuses[service.exchange().status] += 1

    assert statuses == Counter({200: 60})


def test_cold_cache_is_an_outage_and_recovers(service: Service, own_issuer: FakeIssuer) -> None:
    """K06, D9: 503 with Retry-After while nothing is known, 200 as soon as it may be asked again."""
    own_issuer.misbehave(Fault.UNAVAILABLE)
    token = service.mint()
    answer = service.exchange(token)
    assert answer.status == 503
    own_issuer.behave()
    service.monotonic.advance(int(answer.headers["retry-after"]))

    assert service.exchange(token).status == 200


def test_flood_of_random_kids_while_keys_rotate_refuses_no_good_token(service: Service, own_issuer: FakeIssuer) -> None:
    """K03, D9: an attacker's kids and a rotation at the same time: 200 or 503, never a 4xx for a good token."""
    assert service.exchange().status == 200
    publisher = service.administration.publishers()[0]
    unlimited = dataclasses.replace(description_of(publisher), max_live_tokens=0)
    service.administration.change_publisher(publisher.id, unlimited)
    good, bad = Counter[int](), Counter[int]()
    fetches_before = own_issuer.fetches["jwks"]
    for step in range(180):
        if step % 90 == 10:
            own_issuer.rotate()
        service.monotonic.advance(1)
        bad[service.exchange(service.mint(header={"kid": secrets.token_hex(8)})).status] += 1
        good[service.exchange().status] += 1
        time.sleep(0.001)  # let a background refresh end

    assert set(good) <= {200, 503}
    # The attacker can hide a key that was never published ahead for one cool-down, twice here.
    assert good[503] <= 2 * 30
    assert set(bad) <= {400, 503}
    assert own_issuer.fetches["jwks"] - fetches_before <= 180 / 30 + 1


def test_withdrawn_key_is_refused_within_the_fresh_time(service: Service, own_issuer: FakeIssuer) -> None:
    """K15, T33: a key taken out of the set stops being believed."""
    old = own_issuer.key
    assert service.exchange().status == 200
    own_issuer.rotate()
    own_issuer.withdraw(old.kid)
    statuses = []
    for _ in range(10):
        service.monotonic.advance(150)
        statuses.append(service.exchange(service.mint(key=old)).status)
        time.sleep(0.02)

    assert statuses[-1] == 400
