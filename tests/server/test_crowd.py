"""Many at once over real HTTP: one token once, and keys that change under load."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyless.testing import FakeIssuer
from tests.support.running import GRANT, ID_TOKEN, RunningService

AT_ONCE = 200

# A crowd is meant to get in here: what bounds one caller is proven elsewhere.
UNLIMITED = (
    "max_live_tokens = 0\nmax_grants_per_hour = 0\n"
    "exchanges_per_minute_by_address = 0\nexchanges_per_minute_by_identity = 0\n"
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningService]:
    """A service in a process of its own, trusting an issuer of this test's own."""
    with FakeIssuer() as issuer:
        service = RunningService(tmp_path, issuer, settings=UNLIMITED)
        service.start()
        yield service
        service.stop()


class Caller:
    """One connection to the service."""

    def __init__(self, service: RunningService) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        self._connection.connect()

    def exchange(self, token: str) -> tuple[int, dict[str, object]]:
        """Exchange a token."""
        members = {"grant_type": GRANT, "subject_token_type": ID_TOKEN, "subject_token": token}
        body = json.dumps({**members, "resource": "acme/model"})
        self._connection.request("POST", "/oauth/token", body, {"Content-Type": "application/json"})
        with self._connection.getresponse() as answer:
            return answer.status, json.loads(answer.read())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def test_two_hundred_exchanges_of_one_token_at_once_give_exactly_one(running: RunningService) -> None:
    """T47, V17, D8: in `once` mode, each on a connection of its own, all sent at the same moment."""
    token = running.mint()
    callers = [Caller(running) for _ in range(AT_ONCE)]
    together = threading.Barrier(AT_ONCE)

    def send(caller: Caller) -> tuple[int, object]:
        together.wait(20)
        status, answer = caller.exchange(token)
        caller.close()
        return status, answer.get("reason")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = Counter(pool.map(send, callers))

    assert outcomes == Counter({(200, None): 1, (400, "token_replayed"): AT_ONCE - 1})


def test_keys_that_rotate_under_load_refuse_no_good_token(running: RunningService) -> None:
    """K03, T29: right after the start, each token signed with the newest key: not one answer but 200, and one fetch.

    What happens to a rotation while a stranger invents key ids is `test_issuer_outage.py`'s.
    """
    assert running.exchange()[0] == 200
    stop = threading.Event()
    outcomes = Counter[int]()
    lock = threading.Lock()

    def work() -> None:
        caller = Caller(running)
        while not stop.is_set():
            status, _ = caller.exchange(running.mint())
            with lock:
                outcomes[status] += 1
        caller.close()

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        time.sleep(0.3)
        running.issuer.rotate()
        time.sleep(0.7)
        stop.set()
        for worker in workers:
            worker.result(20)

    assert set(outcomes) == {200}
    assert outcomes[200] > 20
    assert running.issuer.fetches["jwks"] == 2
