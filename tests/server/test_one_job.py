"""The processes of one job against the real service: one mint, one exchange, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyless.server.store import open_store
from keyless.testing import FakeCI, FakeIssuer
from keyless.testing.github import FakeGitHub
from keyless.verifier import Verifier
from tests.support.job import run_cli
from tests.support.running import RunningService

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="sharing needs owners and modes of POSIX"),
]

COMMANDS = [("-m", "keyless", "token"), ("-c", "import keyless; print(keyless.get_token())")]


class Job:
    """A GitHub job with a folder that the runner empties, and the service it talks to."""

    def __init__(self, service: RunningService, ci: FakeGitHub, temporary: Path) -> None:
        self.service = service
        self.ci = ci
        self.temporary = temporary
        self.environ = {
            **ci.environ(),
            "HF_ENDPOINT": service.url,
            "HF_OIDC_RESOURCE": "acme/model",
            "HF_HOME": "/nonexistent/hf",
            "HOME": "/proc/1",  # where nobody may write, not even root
            "RUNNER_TEMP": str(temporary),
            "KEYLESS_TIMEOUT": "25",
        }

    def spawn(self, number: int) -> subprocess.Popen[str]:
        """Start one process: the command line and Python in turn."""
        return subprocess.Popen(
            [sys.executable, *COMMANDS[number % 2]],
            env={"PATH": os.environ["PATH"], **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def grants(self) -> int:
        with open_store(self.service.database) as store:
            return sum(event.kind == "token.granted" for event in store.audit_events(limit=500))

    def verify(self, token: str) -> None:
        verifier = Verifier(self.service.url, self.service.url, unsafe_offline=True)
        try:
            assert str(verifier.verify(token).resource) == "models/acme/model"
        finally:
            verifier.close()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    temporary = tmp_path / "runner-temp"
    temporary.mkdir()
    with FakeIssuer() as issuer, FakeCI.github(issuer) as ci:
        service = RunningService(tmp_path, issuer)
        service.start()
        try:
            yield Job(service, ci, temporary)
        finally:
            service.stop()


def collect(processes: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    return [process.communicate(timeout=55) for process in processes]


def wait_until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_64_processes_that_start_together(job: Job) -> None:
    """Must hold: 1 mint, 1 exchange, 64 same tokens."""
    results = collect([job.spawn(number) for number in range(64)])
    ((output, complaint),) = set(results)

    assert (job.ci.mints, job.grants, complaint) == (1, 1, "")
    job.verify(output.strip())


def test_the_one_that_is_exchanging_is_killed(job: Job) -> None:
    """Must hold: kill -9 while the service has its request; another takes over within the deadline."""
    job.service.pause()
    leader = job.spawn(0)
    wait_until(lambda: job.ci.mints == 1)
    others = [job.spawn(number) for number in range(6)]
    time.sleep(1)  # they wait for the lock by now
    assert ([process.poll() for process in others], job.ci.mints) == ([None] * 6, 1)
    leader.send_signal(signal.SIGKILL)
    leader.communicate()
    wait_until(lambda: job.ci.mints == 2)
    job.service.resume()
    ((output, complaint),) = set(collect(others))

    assert (job.ci.mints, complaint) == (2, "")
    assert 1 <= job.grants <= 2  # the killed one's request may have been read after all
    job.verify(output.strip())


def plant_symlink(path: Path) -> None:
    path.symlink_to(path.with_name("precious"))


def plant_foreign(path: Path) -> None:
    path.write_text("kl_planted\nkeyless-1 x 9999999999 9999999999 3600 300 -\n")
    path.chmod(0o666)
    if os.geteuid() == 0:
        os.chown(path, 12_345, 12_345)


PLANTS: dict[str, Callable[[Path], None]] = {
    "a symlink": plant_symlink,
    "another user's file": plant_foreign,
    "a directory": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path, 0o600),
}


@pytest.mark.parametrize("name", PLANTS)
def test_what_somebody_planted_is_neither_read_nor_written(job: Job, name: str) -> None:
    """Must hold: no crash, no leak, the right token, in several processes at once."""
    first = run_cli("token", environ=job.environ).stdout.strip()
    precious = job.temporary / "precious"
    precious.write_text("precious")
    for path in [path for path in job.temporary.iterdir() if path.name.startswith("keyless-")]:
        path.unlink()
        PLANTS[name](path)
    results = collect([job.spawn(number) for number in range(4)])
    planted = [path for path in job.temporary.iterdir() if path.is_file() and path.stat().st_uid != os.geteuid()]

    assert {complaint for _, complaint in results} == {""}
    for output, _ in results:
        assert output.strip() != first
        job.verify(output.strip())
    assert precious.read_text() == "precious"
    assert [path for path in planted if "kl_planted" not in path.read_text()] == []


def test_a_directory_that_nobody_may_write(job: Job) -> None:
    """A read-only folder, and a read-only home, cost the sharing and nothing else."""
    job.environ["RUNNER_TEMP"] = "/proc/1"
    results = collect([job.spawn(number) for number in range(2)])

    assert (job.ci.mints, job.grants) == (2, 2)
    assert {complaint for _, complaint in results} == {""}
    for output, _ in results:
        job.verify(output.strip())
