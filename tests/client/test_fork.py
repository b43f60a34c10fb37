"""A child forked in the middle of an exchange gets its token or a clear error in time (issue: main job, hardened)."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from keyless import Credential, OIDCError
from keyless.client.cache import TokenCache
from tests.support.job import MINT_PATH, TOKEN_PATH, Job, run_cli
from tests.support.stub import Answer, Recorded

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

REPETITIONS = 200
CHILD_SECONDS = 10


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def fork_and_ask(credential: Credential) -> int:
    """Fork; return the child's process id. The child exits 0 with a token, 1 with a clear error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns about fork with threads, which is the point
        pid = os.fork()
    if pid:
        return pid
    code = 2
    try:
        signal.alarm(CHILD_SECONDS)
        code = 0 if credential.token().startswith("kl_access") else 3
    except OIDCError:
        code = 1
    finally:
        os._exit(code)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.slow
def test_children_forked_at_any_moment_of_an_exchange(job: Job) -> None:
    """200 forks at moments spread over mint and exchange: each child ends in time, and with a token."""

    def slowly(answer: Answer) -> Answer:
        return Answer(answer.status, answer.body, answer.headers, delay_seconds=0.004)

    job.on(MINT_PATH, lambda _: slowly(job._mint()))
    job.on(TOKEN_PATH, lambda _: slowly(job._exchange()))
    codes = []
    for number in range(REPETITIONS):
        credential = Credential(environ=job.github(KEYLESS_TIMEOUT="8"), cache=TokenCache())
        leader = threading.Thread(target=credential.token)
        leader.start()
        time.sleep((number % 20) * 0.0006)  # 0-12 ms into about 10 ms of mint and exchange
        codes.append(exit_code(fork_and_ask(credential)))
        leader.join()

    assert codes == [0] * REPETITIONS


def test_a_child_does_not_wait_for_its_parents_thread(job: Job) -> None:
    """The parent's leader hangs; the child starts its own exchange at once (the origin's client hangs here)."""
    asked = threading.Event()

    def hang_once(request: Recorded) -> Answer:
        if not asked.is_set():
            asked.set()
            return Answer(hangs=True)
        return job._exchange()

    job.on(TOKEN_PATH, hang_once)
    credential = Credential(environ=job.github(KEYLESS_TIMEOUT="3"), cache=TokenCache())

    def lead() -> None:
        with pytest.raises(OIDCError):
            credential.token()

    leader = threading.Thread(target=lead, daemon=True)
    leader.start()
    assert asked.wait(5)
    begun = time.monotonic()

    code = exit_code(fork_and_ask(credential))

    assert code == 0
    assert time.monotonic() - begun < 2
    job._stop.set()
    leader.join()


def test_a_child_keeps_the_tokens_that_were_there(job: Job) -> None:
    """hub-api.md 1.3: workers of a parent that has a token exchange nothing."""
    credential = Credential(environ=job.github(), cache=TokenCache())
    credential.token()

    assert [exit_code(fork_and_ask(credential)) for _ in range(3)] == [0, 0, 0]
    assert job.exchanges == 1


COLD_FORK = """
import os, signal, sys, threading, time
import keyless
leader = threading.Thread(target=lambda: keyless.get_token(), daemon=True)
leader.start()
time.sleep(float(sys.argv[1]))
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    os._exit(0 if keyless.get_token() else 3)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
leader.join()
print(code)
"""


@pytest.mark.parametrize("delay_seconds", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03])
def test_a_child_forked_during_the_first_imports(job: Job, delay_seconds: float) -> None:
    """A fork waits for imports under way: a per-module import lock held by a lost thread would hang the child."""
    result = run_cli(str(delay_seconds), environ=job.github(), program=("-W", "ignore", "-c", COLD_FORK))

    assert (result.stdout, result.returncode) == ("0\n", 0), result.stderr
