"""Several workers behind one address: they share everything but their lives (D4, D17)."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.testing import FakeIssuer
from tests.support.running import RunningService

WORKERS = 2


class ManyWorkers(RunningService):
    """A service of several workers."""

    @property
    def pid(self) -> int:
        """Return the supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        log = (self.directory / "serve.log").open("ab")
        command = [sys.executable, "-m", "keyless", "serve", "--config", "keyless.toml", "--workers", str(WORKERS)]
        self._process = subprocess.Popen(
            command, cwd=self.directory, env=dict(os.environ), stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        self.wait_for("keyless: ready")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the log says something so many times."""
        ends_at = time.monotonic() + 45
        while (self.directory / "serve.log").read_text().count(text) < times:
            assert time.monotonic() < ends_at, (self.directory / "serve.log").read_text()
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """Return the workers' process ids."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def inside(self, path: str) -> tuple[int, str]:
        """GET from the inside listener."""
        connection = http.client.HTTPConnection("127.0.0.1", self.inside_port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def granted(self) -> int:
        """Return how many exchanges all workers have granted, as one of them tells."""
        found = re.search(r'keyless_exchanges_total\{reason="granted"\} (\d+)', self.inside("/metrics")[1])
        assert found
        return int(found[1])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ManyWorkers]:
    with FakeIssuer() as issuer:
        service = ManyWorkers(tmp_path, issuer, settings="max_live_tokens = 0\n")
        try:
            service.start()
            yield service
        finally:
            service.stop()


@pytest.mark.slow
def test_workers_share_trust_replay_and_numbers_and_one_that_dies_is_replaced(running: ManyWorkers) -> None:
    """D8, D14: an id token is good once, whichever worker it meets; a killed worker costs nobody else's."""
    first = running.workers()
    assert len(first) == WORKERS
    for _ in range(12):
        token = running.mint()
        assert running.exchange(token)[0] == 200
        assert running.exchange(token)[0] == 400
    assert running.granted() == 12
    os.kill(first[0], signal.SIGKILL)
    ends_at = time.monotonic() + 30
    while len(running.workers()) < WORKERS or first[0] in running.workers():
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    for _ in range(6):
        assert running.exchange()[0] == 200
    assert json.loads(running.inside("/readyz")[1])
    assert running.granted() == 18
    workers = running.workers()
    assert running.stop() == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


@pytest.mark.slow
def test_workers_are_replaced_without_a_refused_connection(running: ManyWorkers) -> None:
    """D17: SIGHUP takes the settings anew; whoever takes a connection answers its request, also while he goes."""
    before = set(running.workers())
    os.kill(running.pid, signal.SIGHUP)
    ends_at = time.monotonic() + 45
    while before & set(running.workers()) or len(running.workers()) != WORKERS:
        assert running.exchange()[0] == 200
        assert time.monotonic() < ends_at
    assert running.exchange()[0] == 200


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(running: ManyWorkers) -> None:
    """No orphan goes on signing tokens that nobody watches."""
    workers = running.workers()
    os.kill(running.pid, signal.SIGKILL)
    ends_at = time.monotonic() + 30
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_setting_that_cannot_work_stops_the_supervisor_too(tmp_path: Path) -> None:
    """D21: exit status 2, said once or twice, and no worker stays behind."""
    (tmp_path / "keyless.toml").write_text(
        'public_url = "http://127.0.0.1:9"\nlisten = "127.0.0.1:0"\ninside_listen = "127.0.0.1:0"\n'
        'database = "missing/keyless.db"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "keyless", "serve", "--config", "keyless.toml", "--workers", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 2
    assert "database" in done.stderr
