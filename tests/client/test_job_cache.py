"""One mint and one exchange for all processes of a job, whatever is wrong with the directory."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyless import Credential
from keyless.client import job_cache
from keyless.client.cache import TokenCache
from keyless.client.job_cache import JobCache, forget_everywhere
from keyless.errors import ExchangeRefusedError, ExchangeUnavailableError
from keyless.http.deadline import Deadline
from tests.support.job import MINT_PATH, REQUEST_TOKEN, TOKEN_PATH, Job, make_id_token, run_cli
from tests.support.stub import Answer, Recorded

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sharing needs owners and modes of POSIX")

PYTHON = "import keyless; print(keyless.get_token())"


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "runner-temp"
    folder.mkdir()
    return folder


def ask(environ: dict[str, str]) -> str:
    """Ask as another process would: with nothing in memory."""
    return Credential(environ=environ, cache=TokenCache()).token()


def files(temporary: Path) -> list[Path]:
    return [path for path in temporary.iterdir() if "." not in path.name]


def spawn(*words: str, environ: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_later_process_sends_nothing(job: Job, temporary: Path) -> None:
    """The steps of a job: one exchange, the same token, whether by Python or the command line."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    tokens = [ask(environ), run_cli("token", environ=environ).stdout.strip(), ask(environ)]

    assert tokens == [job.access_token()] * 3
    assert (job.mints, job.exchanges) == (1, 1)


def test_the_command_line_reads_it_for_any_spelling(job: Job, temporary: Path) -> None:
    """Options, variables, a slash at the end, formats: one token; another resource is another."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    ask(environ)
    calls = [
        ("token",),
        ("token", "--resource", "acme/model"),
        ("token", "--resource=acme/model", f"--endpoint={job.url}/"),
        ("token", "--format", "text"),
        ("token", "--format", "env"),
        ("token", "--json"),
    ]
    outputs = [run_cli(*words, environ=environ).stdout for words in calls]
    other = run_cli("token", "--resource", "acme/other", environ=environ).stdout

    assert all(job.access_token() in output for output in outputs)
    assert outputs[4] == f"HF_TOKEN={job.access_token()}\n"
    assert other == f"{job.access_token(2)}\n"
    assert job.exchanges == 2


def test_mistakes_are_told_although_there_is_a_token(job: Job, temporary: Path) -> None:
    """The short way never swallows a wrong command line."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    ask(environ)
    calls = [
        ("token", "--resource"),
        ("token", "--resource", ""),
        ("token", "--nonsense"),
        ("token", "acme/model"),
        ("token", "--resource", "acme/model", "--resource", "acme/model"),
    ]

    assert [run_cli(*words, environ=environ).returncode for words in calls] == [2] * len(calls)


def test_only_the_access_token_is_on_disk(job: Job, temporary: Path) -> None:
    """Neither an id token nor the request token; 0600."""
    ask(job.github(RUNNER_TEMP=str(temporary)))
    content = "".join(path.read_text() for path in temporary.iterdir())

    assert job.access_token() in content
    assert [secret for secret in (REQUEST_TOKEN, *job.id_tokens) if secret in content] == []
    assert {path.stat().st_mode & 0o777 for path in temporary.iterdir()} == {0o600}


def test_a_handed_over_token_is_exchanged_once_by_the_job(job: Job, temporary: Path) -> None:
    """S7 across processes; the file does not hold the id token."""
    environ = job.handed_over(GITHUB_ACTIONS="true", RUNNER_TEMP=str(temporary))

    assert [ask(environ) for _ in range(3)] == [job.access_token()] * 3
    assert job.exchanges == 1
    assert environ["HF_OIDC_ID_TOKEN"] not in files(temporary)[0].read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"RUNNER_TEMP": ""},
        {"KEYLESS_CACHE": "off"},
        {"RUNNER_TEMP": "/nonexistent/folder"},
    ],
    ids=str,
)
def test_without_a_directory_every_process_exchanges(job: Job, temporary: Path, change: dict[str, str]) -> None:
    """The switch, and platforms that delete nothing."""
    environ = {**job.github(RUNNER_TEMP=str(temporary)), **change}

    assert [ask(environ), ask(environ)] == [job.access_token(1), job.access_token(2)]
    assert list(temporary.iterdir()) == []


def test_an_id_token_from_a_file_is_not_shared(job: Job, temporary: Path, tmp_path: Path) -> None:
    """What stands in the file may change unseen; only what is in the variables names the shared token."""
    id_token = tmp_path / "id-token"
    id_token.write_text(make_id_token(job.url))
    environ = job.handed_over(
        HF_OIDC_ID_TOKEN="", KEYLESS_ID_TOKEN_FILE=str(id_token), GITHUB_ACTIONS="true", RUNNER_TEMP=str(temporary)
    )
    ask(environ)

    assert list(temporary.iterdir()) == []


def test_a_credential_can_keep_its_token_to_itself(job: Job, temporary: Path) -> None:
    """`keyless exec` revokes its token, so nobody else may have it."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    own = Credential(environ=environ, cache=TokenCache(), is_shared=False).token()

    assert own == job.access_token(1)
    assert list(temporary.iterdir()) == []
    assert ask(environ) == job.access_token(2)


def test_exec_does_not_revoke_the_token_of_other_steps(job: Job, temporary: Path) -> None:
    """The token of `keyless token` outlives a `keyless exec` in between."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    first = ask(environ)
    run_cli("exec", "--", "true", environ=environ)

    assert ask(environ) == first
    assert [request.body for request in job.requests if request.path == "/oauth/revoke"] == [
        f"token={job.access_token(2)}".encode()
    ]


def test_a_token_that_is_no_longer_taken_is_forgotten(job: Job, temporary: Path) -> None:
    """By the credential that has it, or by its value; any other stays."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    credential = Credential(environ=environ, cache=TokenCache())
    credential.token()
    credential.forget("kl_another-token")
    kept = ask(environ)
    credential.forget(kept)
    second = ask(environ)
    forget_everywhere(second, environ=environ)

    assert [kept, second, ask(environ)] == [job.access_token(number) for number in (1, 2, 3)]


def test_a_token_is_refreshed_for_all(job: Job, temporary: Path) -> None:
    """Inside the margin the next process makes a new one, and the others take it."""
    job.lifetime_seconds = 2  # the margin is 0.4 s
    environ = job.github(RUNNER_TEMP=str(temporary))
    credential = Credential(environ=environ, cache=TokenCache())
    first = credential.token()
    time.sleep(1.7)
    second = ask(environ)

    assert (first, second, credential.token()) == (job.access_token(1), job.access_token(2), job.access_token(2))


def test_an_outage_inside_the_margin_uses_what_is_there(job: Job, temporary: Path) -> None:
    """A process that starts while the service is down, seconds before the token ends."""
    job.lifetime_seconds = 3  # the margin is 0.6 s
    environ = job.github(RUNNER_TEMP=str(temporary))
    ask(environ)
    job.on(TOKEN_PATH, Answer(503, b""))
    time.sleep(2.5)

    assert ask(environ) == job.access_token()
    assert job.count(TOKEN_PATH) == 2  # one attempt, not a deadline's worth


def plant_symlink(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("precious")
    path.symlink_to(target)


def plant_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(4096))


def plant_foreign(path: Path) -> None:
    """Another user's file; who cannot give one away becomes another user instead (`as_somebody_else`)."""
    path.write_text("kl_planted\nkeyless-1 x 9999999999 9999999999 3600 300 -\n")
    path.chmod(0o666)
    if os.geteuid() == 0:
        os.chown(path, 12_345, 12_345)


# Files that the test made then look like another user's. The child processes of the test are themselves again.
as_somebody_else = pytest.mark.skipif(os.geteuid() == 0, reason="root gives real files away, in the test above")


@as_somebody_else
def test_another_users_file_is_not_read(job: Job, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner is checked after the file was opened."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    ask(environ)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)

    assert ask(environ) == job.access_token(2)


PLANTS: list[Callable[[Path], None]] = [
    plant_symlink,
    plant_foreign,
    lambda path: path.mkdir(),
    lambda path: os.mkfifo(path, 0o600),
    plant_garbage,
]


@pytest.mark.parametrize("suffix", ["", ".lock"], ids=["file", "lock"])
@pytest.mark.parametrize("plant", PLANTS, ids=["symlink", "foreign", "directory", "pipe", "garbage"])
def test_whatever_is_planted_the_token_is_right(
    job: Job, temporary: Path, plant: Callable[[Path], None], suffix: str
) -> None:
    """Must hold: no crash, no leak, the right token; what a link points to is not touched."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    ask(environ)
    (file,) = files(temporary)
    for path in list(temporary.iterdir()):
        path.unlink()
    plant(file.with_name(f"{file.name}{suffix}"))

    assert ask(environ) == job.access_token(2)
    assert "kl_planted" not in run_cli("token", environ=environ).stdout
    target = file.with_name("target")
    assert not target.exists() or target.read_text() == "precious"


def test_a_full_disk_costs_only_the_sharing(job: Job, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC at the write: the token is given, nothing half is left."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    environ = job.github(RUNNER_TEMP=str(temporary))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        tokens = [ask(environ), ask(environ)]

    assert tokens == [job.access_token(1), job.access_token(2)]
    assert [path.name for path in temporary.iterdir() if not path.name.endswith(".lock")] == []


MAY_NOT_WRITE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from keyless.cli.main import main
sys.exit(main(["token"]))
"""


def test_a_process_that_may_not_write_a_byte(job: Job, temporary: Path) -> None:
    """As on a full disk, and without anybody's permission to mount one."""
    environ = job.github(RUNNER_TEMP=str(temporary))
    results = [run_cli(environ=environ, program=("-c", MAY_NOT_WRITE)) for _ in range(2)]

    assert [(result.stdout, result.stderr) for result in results] == [
        (f"{job.access_token(number)}\n", "") for number in (1, 2)
    ]
    assert [path.name for path in temporary.iterdir() if not path.name.endswith(".lock")] == []


def may_mount() -> bool:
    words = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=16k", "none", "/mnt"]
    try:
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_mount(), reason="no small disk can be mounted here; the test above is the same without one")
def test_a_disk_that_is_really_full(job: Job, tmp_path: Path) -> None:
    """The same on a file system of 16 kB without a free byte, through the command line."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=True, capture_output=True)
    try:
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        results = [run_cli("token", environ=job.github(RUNNER_TEMP=str(disk))) for _ in range(2)]
        left = [path.name for path in disk.iterdir() if "lock" not in path.name]
    finally:
        subprocess.run(["umount", disk], check=True)

    assert [(result.stdout, result.stderr) for result in results] == [
        (f"{job.access_token(number)}\n", "") for number in (1, 2)
    ]
    assert left == ["filler"]


def test_a_directory_that_cannot_be_written(job: Job, temporary: Path) -> None:
    """Read-only, or of a kind where not even root may make a file."""
    temporary.chmod(0o500)
    tokens = [ask(job.github(RUNNER_TEMP=str(temporary))), ask(job.github(RUNNER_TEMP="/proc/1"))]

    assert tokens == [job.access_token(1), job.access_token(2)]


def together(processes: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    return [process.communicate(timeout=50) for process in processes]


def test_eight_processes_that_start_together_share_one_exchange(job: Job, temporary: Path) -> None:
    """C6: command line and Python, mixed."""
    slowly(job)
    environ = job.github(RUNNER_TEMP=str(temporary))
    kinds = [("-m", "keyless", "token"), ("-c", PYTHON)]
    results = together([spawn(*kinds[number % 2], environ=environ) for number in range(8)])

    assert results == [(f"{job.access_token()}\n", "")] * 8
    assert (job.mints, job.exchanges) == (1, 1)


@pytest.mark.slow
def test_64_processes_that_start_together_share_one_exchange(job: Job, temporary: Path) -> None:
    """Must hold: 1 mint, 1 exchange, 64 same tokens."""
    slowly(job)
    environ = job.github(RUNNER_TEMP=str(temporary))
    kinds = [("-m", "keyless", "token"), ("-c", PYTHON)]
    results = together([spawn(*kinds[number % 2], environ=environ) for number in range(64)])

    assert results == [(f"{job.access_token()}\n", "")] * 64
    assert (job.mints, job.exchanges) == (1, 1)


def slowly(job: Job, seconds: float = 0.2) -> None:
    """Make the exchange last long enough for all to be waiting."""

    def answer(_: Recorded) -> Answer:
        good = job._exchange()
        return Answer(good.status, good.body, good.headers, delay_seconds=seconds)

    job.on(TOKEN_PATH, answer)


def ask_and_tell(environ: dict[str, str], answers: multiprocessing.queues.Queue[str]) -> None:
    answers.put(Credential(environ=environ).token())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_one_exchange(job: Job, temporary: Path, method: str) -> None:
    """A pool whose parent had not asked: fork and spawn."""
    slowly(job)
    context = multiprocessing.get_context("fork") if method == "fork" else multiprocessing.get_context("spawn")
    answers = context.Queue()
    environ = job.github(RUNNER_TEMP=str(temporary))
    workers = [context.Process(target=ask_and_tell, args=(environ, answers)) for _ in range(4)]
    for worker in workers:
        worker.start()
    tokens = [answers.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join()

    assert tokens == [job.access_token()] * 4
    assert (job.mints, job.exchanges) == (1, 1)


@pytest.mark.parametrize("leg", [MINT_PATH, TOKEN_PATH])
def test_another_takes_over_when_the_leader_is_killed(job: Job, temporary: Path, leg: str) -> None:
    """Must hold: kill -9 in the middle of mint or exchange; the kernel lets the lock go."""
    asked = threading.Event()
    good = job._mint if leg == MINT_PATH else job._exchange

    def hang_once(_: Recorded) -> Answer:
        if not asked.is_set():
            asked.set()
            return Answer(hangs=True)
        return good()

    job.on(leg, hang_once)
    environ = job.github(RUNNER_TEMP=str(temporary), KEYLESS_TIMEOUT="20")
    leader = spawn("-m", "keyless", "token", environ=environ)
    assert asked.wait(10)
    others = [spawn("-m", "keyless", "token", environ=environ) for _ in range(5)]
    time.sleep(0.5)
    waiting = [process.poll() for process in others]
    leader.send_signal(signal.SIGKILL)
    leader.communicate()
    killed_at = time.monotonic()
    results = together(others)

    assert waiting == [None] * 5
    assert {result for result, _ in results} == {f"{job.access_token()}\n"}
    assert time.monotonic() - killed_at < 15  # of the 20 s they had
    assert job.count(leg) == 2


def test_a_fork_while_another_thread_exchanges(job: Job, temporary: Path) -> None:
    """The child does not hold the parent's lock: killing the parent's hopes would otherwise hang the job."""
    slowly(job)
    environ = job.github(RUNNER_TEMP=str(temporary))
    program = (
        "import os, threading, time, keyless, sys\n"
        "t = threading.Thread(target=keyless.get_token); t.start(); time.sleep(0.1)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    print(keyless.get_token(), flush=True); os._exit(0)\n"
        "os.waitpid(pid, 0); t.join(); print(keyless.get_token())\n"
    )
    result = run_cli(environ=environ, program=("-W", "ignore", "-c", program))

    assert result.stdout.split() == [job.access_token()] * 2
    assert job.exchanges == 1


def test_all_learn_of_a_refusal_at_about_the_same_time(job: Job, temporary: Path) -> None:
    """A failed leader does not let the others fail one after the other."""
    job.on(TOKEN_PATH, Answer(400, {"error": "invalid_grant"}, delay_seconds=0.5))
    environ = job.github(RUNNER_TEMP=str(temporary))
    errors: list[BaseException] = []

    def refused() -> None:
        try:
            ask(environ)
        except ExchangeRefusedError as error:
            errors.append(error)

    threads = [threading.Thread(target=refused) for _ in range(8)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(errors) == 8
    assert time.monotonic() - begun < 2.5  # eight in a row would take four seconds


def test_nobody_waits_longer_than_the_deadline(temporary: Path) -> None:
    """A leader that hangs costs the others their own deadline, and they are told what to do."""
    cache = JobCache(str(temporary / f"keyless-{'a' * 64}"))
    lock = job_cache._Lock(f"{cache.path}.lock")
    assert lock.acquire()
    begun = time.monotonic()

    with pytest.raises(ExchangeUnavailableError, match="another process") as caught:
        cache.get(make=lambda _: pytest.fail("asked"), margin=lambda _: 0.0, deadline=Deadline(0.2))
    lock.close()

    assert time.monotonic() - begun < 10  # not for as long as the lock is held
    assert "KEYLESS_CACHE=off" in (caught.value.hint or "")
