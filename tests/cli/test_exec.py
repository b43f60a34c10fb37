"""`keyless exec` with real children (D23, D24)."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.cli.child_environment import child_environment, ci_identity_variables
from tests.support.job import REQUEST_TOKEN, REVOKE_PATH, TOKEN_PATH, Job, make_id_token, run_cli
from tests.support.stub import Answer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and modes of POSIX")

STORED = "hf_storedstoredstoredstored"
SHOW = """
import json, os, stat
path = os.environ["HF_TOKEN_PATH"]
there = os.path.exists(path)
print(json.dumps({
    "environ": dict(os.environ),
    "token": open(path).read() if there else None,
    "mode": stat.S_IMODE(os.stat(path).st_mode) if there else None,
    "folder_mode": stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode),
    "named": {n: open(os.environ[n]).read() for n in ("DATA", "SPACE") if n in os.environ},
}))
"""


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder that must be empty again at the end."""
    folder = tmp_path / "runner-temp"
    folder.mkdir()
    return folder


def show(*options: str, environ: dict[str, str]) -> dict[str, object]:
    result = run_cli("exec", *options, "--", sys.executable, "-c", SHOW, environ=environ)
    assert result.returncode == 0, result.stderr
    shown: dict[str, object] = json.loads(result.stdout)
    return shown


def test_the_child_finds_a_private_token_file(job: Job, temporary: Path) -> None:
    """D23: HF_TOKEN_PATH, 0600 in a 0700 folder, gone afterwards."""
    shown = show(environ=job.github(RUNNER_TEMP=str(temporary)))

    assert (shown["token"], shown["mode"], shown["folder_mode"]) == (job.access_token(), 0o600, 0o700)
    assert list(temporary.iterdir()) == []


def test_nothing_that_could_be_stolen_is_passed_on(job: Job, temporary: Path, tmp_path: Path) -> None:
    """D23: no stored secret, no id token, no means to mint one, under whatever name."""
    id_token = make_id_token(job.url)
    (tmp_path / "token").write_text(STORED)
    environ = job.github(
        RUNNER_TEMP=str(temporary),
        HF_HOME=str(tmp_path),
        HF_TOKEN=STORED,
        HUGGING_FACE_HUB_TOKEN=STORED,
        HF_OIDC_ID_TOKEN=id_token,
        MY_COPY=id_token,
        KEYLESS_ID_TOKEN="x",
        HF_OIDC_SOMETHING="y",
        UNRELATED="kept",
    )
    shown = show(environ=environ)
    child = shown["environ"]
    assert isinstance(child, dict)

    everything = json.dumps(shown)
    assert [secret for secret in (STORED, id_token, REQUEST_TOKEN) if secret in everything] == []
    assert not [name for name in child if name.startswith(("HF_OIDC_", "ACTIONS_ID_TOKEN", "KEYLESS_ID"))]
    assert child["UNRELATED"] == "kept"
    assert child["HF_ENDPOINT"] == job.url


def test_the_ci_identity_can_be_kept(job: Job) -> None:
    """--keep-ci-identity leaves the mint's variables; HF_OIDC_* would hide the file and goes in any case."""
    child = show("--keep-ci-identity", environ=job.github())["environ"]
    assert isinstance(child, dict)

    assert child["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] == REQUEST_TOKEN
    assert "HF_OIDC_RESOURCE" not in child


def test_further_resources_have_files_of_their_own(job: Job) -> None:
    """S9, D23: one command publishes a model and a dataset."""
    shown = show(
        "--resource",
        "acme/model",
        "--resource",
        "DATA=datasets/acme/data",
        "--resource=SPACE=spaces/acme/s",
        environ=job.github(),
    )

    assert shown["token"] == job.access_token(1)
    assert shown["named"] == {"DATA": job.access_token(2), "SPACE": job.access_token(3)}
    posted = [request.json()["resource"] for request in job.requests if request.path == TOKEN_PATH]
    assert posted == ["acme/model", "datasets/acme/data", "spaces/acme/s"]


def test_only_named_resources_hide_a_stored_token_too(job: Job, tmp_path: Path) -> None:
    """Without a main token HF_TOKEN_PATH points at nothing, not at the user's login."""
    (tmp_path / "token").write_text(STORED)
    shown = show(
        "--resource", "DATA=datasets/acme/data", environ=job.github(HF_OIDC_RESOURCE="", HF_HOME=str(tmp_path))
    )

    assert shown["token"] is None
    assert STORED not in json.dumps(shown)


def test_a_variable_can_hold_the_token(job: Job) -> None:
    """--env: fixed, and stderr says when it ends."""
    result = run_cli("exec", "--env", "MY_TOKEN", "--", "printenv", "MY_TOKEN", environ=job.github())

    assert result.stdout == f"{job.access_token()}\n"
    assert "MY_TOKEN holds a fixed token that ends at " in result.stderr
    assert "in 60 minutes; it cannot be refreshed there" in result.stderr


def test_a_variable_needs_a_main_token(job: Job) -> None:
    """--env without an unnamed resource cannot mean anything."""
    result = run_cli("exec", "--env", "T", "--resource", "D=a/b", "--", "true", environ=job.github(HF_OIDC_RESOURCE=""))

    assert result.returncode == 2


def test_the_endpoint_option_reaches_the_child(job: Job) -> None:
    """The child must talk to the service the token is from."""
    child = show("--endpoint", job.url, environ=job.github(HF_ENDPOINT="https://hub.invalid"))["environ"]
    assert isinstance(child, dict)

    assert child["HF_ENDPOINT"] == job.url


def test_the_token_is_masked_on_github_only(job: Job) -> None:
    """D24: on stderr, where the platform has it."""
    on_github = run_cli("exec", "--", "true", environ=job.github())
    elsewhere = run_cli("exec", "--", "true", environ=job.handed_over())

    assert on_github.stderr == f"::add-mask::{job.access_token(1)}\n"
    assert elsewhere.stderr == ""


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_status_is_the_childs(job: Job, script: str, code: int) -> None:
    """128+n when a signal ended it, as shells have it."""
    assert run_cli("exec", "--", "sh", "-c", script, environ=job.github()).returncode == code


def test_a_command_that_is_not_there_costs_no_token(job: Job, tmp_path: Path) -> None:
    """127 not found, 126 not executable; nothing was exchanged."""
    (tmp_path / "data").write_text("x")
    not_found = run_cli("exec", "--", "no-such-command-here", environ=job.github())
    no_path = run_cli("exec", "--", "./nothing", environ=job.github(), cwd=tmp_path)
    not_executable = run_cli("exec", "--", "./data", environ=job.github(), cwd=tmp_path)

    assert [result.returncode for result in (not_found, no_path, not_executable)] == [127, 127, 126]
    assert job.requests == []


def test_a_command_that_the_system_cannot_run(job: Job, tmp_path: Path, temporary: Path) -> None:
    """A script without interpreter line, or with one that is not there: clean end, no traceback."""
    for name, content in [("garbage", b"\x00\x01"), ("script", b"#!/nonexistent/interpreter\n")]:
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
    environ = job.github(RUNNER_TEMP=str(temporary))
    results = [run_cli("exec", "--", f"./{name}", environ=environ, cwd=tmp_path) for name in ("garbage", "script")]

    assert [result.returncode for result in results] == [126, 127]
    assert "Traceback" not in "".join(result.stderr for result in results)
    assert list(temporary.iterdir()) == []


def test_a_failed_exchange_starts_nothing(job: Job, temporary: Path, tmp_path: Path) -> None:
    """S6: the command does not run without its token."""
    job.on(TOKEN_PATH, Answer(400, {"error": "invalid_grant"}))
    result = run_cli(
        "exec", "--", "touch", str(tmp_path / "ran"), environ=job.github(RUNNER_TEMP=str(temporary), HF_TOKEN=STORED)
    )

    assert result.returncode == 4
    assert not (tmp_path / "ran").exists()
    assert list(temporary.iterdir()) == []


def test_the_token_is_revoked_at_the_end(job: Job) -> None:
    """RFC 7009: a form with the token; its failure is told in debug only."""
    run_cli("exec", "--", "true", environ=job.github())
    job.on(REVOKE_PATH, Answer(503, b""))
    quiet = run_cli("exec", "--", "true", environ=job.handed_over())
    loud = run_cli("exec", "--", "true", environ=job.handed_over(HF_DEBUG="1"))

    revoked = [request.body.decode() for request in job.requests if request.path == REVOKE_PATH]
    assert revoked == [f"token={job.access_token(number)}" for number in (1, 2, 3)]
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "revocation: " in loud.stderr
    assert job.access_token(3)[:20] not in loud.stderr


WATCH = """
import os, sys, time
seen = []
until = time.monotonic() + 4
while time.monotonic() < until and len(seen) < 3:
    token = open(os.environ["HF_TOKEN_PATH"]).read()
    if token not in seen:
        seen.append(token)
    time.sleep(0.002)
print(*seen)
"""


def test_the_file_is_refreshed_before_the_token_ends(job: Job) -> None:
    """A command that runs longer than a token always reads a good one, whole."""
    job.lifetime_seconds = 1
    result = run_cli("exec", "--", sys.executable, "-c", WATCH, environ=job.github())

    assert result.stdout.split() == [job.access_token(number) for number in (1, 2, 3)]
    assert result.stderr.count("::add-mask::") == job.exchanges


def test_the_end_of_a_token_that_cannot_be_refreshed_is_told(job: Job) -> None:
    """Item 4: once before, and once when the command outlives it."""
    job.lifetime_seconds = 1
    result = run_cli("exec", "--env", "MY_TOKEN", "--", "sleep", "1.3", environ=job.github())

    assert result.stderr.count("it cannot be refreshed there") == 1
    assert result.stderr.count("the token in MY_TOKEN has ended") == 1


def test_short_lives_are_told_before_the_command_runs(job: Job) -> None:
    """Must hold: a single upload longer than a lifetime cannot be saved, so it is said."""
    job.lifetime_seconds = 30
    short = run_cli("exec", "--", "true", environ=job.github())
    job.lifetime_seconds = 3600
    long = run_cli("exec", "--", "true", environ=job.github())

    assert "end after 30 seconds" in short.stderr
    assert "one single upload" in short.stderr
    assert "upload" not in long.stderr


def test_every_token_is_revoked(job: Job) -> None:
    """Those that were refreshed away too, as far as they are still good; several resources."""
    job.lifetime_seconds = 2  # refreshed after 1.6 s
    run_cli(
        "exec", "--resource", "acme/model", "--resource", "D=datasets/a/d", "--", "sleep", "1.8", environ=job.github()
    )
    revoked = {request.body.decode() for request in job.requests if request.path == REVOKE_PATH}

    assert revoked == {f"token={job.access_token(number)}" for number in (1, 2, 3, 4)}


def test_a_refresh_under_way_at_the_end_is_revoked_too(job: Job) -> None:
    """Nothing left behind: what the service is just about to give is taken back as well."""
    first = job._exchange()

    def late(_: object) -> Answer:
        good = job._exchange()
        return Answer(good.status, good.body, good.headers, delay_seconds=0.6)

    job.on(TOKEN_PATH, Answer(200, {"access_token": job.access_token(1), "expires_in": 2}, first.headers), late)
    run_cli("exec", "--", "sleep", "1.8", environ=job.github())
    revoked = [request.body.decode() for request in job.requests if request.path == REVOKE_PATH]

    assert f"token={job.access_token(2)}" in revoked


def test_a_handed_over_token_is_not_sent_again_early(job: Job) -> None:
    """S7 holds under exec: one exchange within the token's life."""
    run_cli("exec", "--", "sleep", "0.4", environ=job.handed_over())

    assert job.exchanges == 1


@pytest.mark.parametrize(("seconds", "is_told"), [(300, True), (7200, False)])
def test_an_id_token_that_ends_first_is_told(job: Job, seconds: float, is_told: bool) -> None:
    """GitLab without a time-out for the job: five minutes, and no other id token ever."""
    environ = job.handed_over(HF_OIDC_ID_TOKEN=make_id_token(job.url, lifetime_seconds=seconds))
    done = run_cli("exec", "--", "true", environ=environ)

    assert done.returncode == 0
    assert ("can therefore not be refreshed" in done.stderr) is is_told


def test_where_id_tokens_are_minted_nothing_is_said(job: Job) -> None:
    """Another one comes when it is needed; nor is one minted to look at."""
    done = run_cli("exec", "--", "true", environ=job.github())

    assert (done.stderr.replace("::add-mask::", "").split(), job.mints) == ([job.access_token()], 1)


def test_a_failing_refresh_is_told_once_and_the_command_goes_on(job: Job) -> None:
    """An outage of the service does not kill a training run."""
    job.on(
        TOKEN_PATH,
        Answer(200, {"access_token": "kl_first-token", "expires_in": 1}),
        Answer(400, {"error": "invalid_grant"}),
    )
    result = run_cli("exec", "--", "sh", "-c", "sleep 1.5; cat $HF_TOKEN_PATH", environ=job.github())

    assert (result.stdout, result.returncode) == ("kl_first-token", 0)
    assert result.stderr.count("could not be refreshed") == 1


def start(job: Job, temporary: Path, script: str, *, command: list[str] | None = None) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "keyless", "exec", "--", *(command or ["sh", "-c", script])],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **job.github(RUNNER_TEMP=str(temporary))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # as a CI runner does: no terminal
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_signals_reach_the_child_and_everything_is_cleaned_up(job: Job, temporary: Path, name: str) -> None:
    """A cancelled job: the child ends its own way, the file goes, the token is revoked."""
    process = start(job, temporary, f"trap 'echo got; exit 9' {name[3:]}; echo ready; while :; do sleep 0.05; done")
    process.send_signal(getattr(signal, name))
    out, _ = process.communicate(timeout=10)

    assert (out, process.returncode) == ("got\n", 9)
    assert list(temporary.iterdir()) == []
    assert job.count(REVOKE_PATH) == 1


def test_the_whole_process_group_gets_the_signal(job: Job, temporary: Path) -> None:
    """A script's own children stop too; none is left behind."""
    process = start(job, temporary, "sleep 47.125 & echo ready; wait")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    time.sleep(0.05)

    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert process.returncode == 143
    assert "sleep 47.125" not in listing


def test_a_signal_during_the_exchange_ends_cleanly(job: Job, temporary: Path) -> None:
    """There is no child yet; the folder is gone and the status says which signal."""
    job.on(TOKEN_PATH, Answer(hangs=True))
    process = subprocess.Popen(
        [sys.executable, "-m", "keyless", "exec", "--", "true"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **job.github(RUNNER_TEMP=str(temporary))},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not job.exchanges:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=10)[1]

    assert process.returncode == 143
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []


def test_several_signals_do_not_stop_the_cleaning_up(job: Job, temporary: Path) -> None:
    """A runner that cancels a job sends SIGINT, then SIGTERM: the token is revoked all the same."""
    job.on(REVOKE_PATH, Answer(200, delay_seconds=0.5))
    process = start(job, temporary, "echo ready; sleep 30")
    process.send_signal(signal.SIGTERM)
    while not job.count(REVOKE_PATH):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 143
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []


def test_two_signals_before_there_is_a_child(job: Job, temporary: Path) -> None:
    """The second one does not interrupt what the first one began."""
    job.on(TOKEN_PATH, job._exchange(), Answer(hangs=True))
    job.on(REVOKE_PATH, Answer(200, delay_seconds=0.5))
    process = subprocess.Popen(
        [sys.executable, "-m", "keyless", "exec", "--resource", "a/b", "--resource", "D=c/d", "--", "true"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **job.github(RUNNER_TEMP=str(temporary))},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while job.exchanges < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    while not job.count(REVOKE_PATH):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at process states")
def test_stop_and_continue_reach_the_child(job: Job, temporary: Path) -> None:
    """Job control without a terminal: SIGTSTP stops the command and us, SIGCONT lets both go on."""
    process = start(job, temporary, "echo ready; sleep 0.2; while :; do sleep 0.05; done")
    (child,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    process.send_signal(signal.SIGTSTP)
    deadline = time.monotonic() + 5
    # A shell that was just starting a program waits for that one, which is stopped: uninterruptibly, says the kernel.
    while time.monotonic() < deadline and not (state_of(process.pid) == "T" and state_of(child) in "TD"):
        time.sleep(0.01)
    stopped = (state_of(process.pid), state_of(child))
    process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and "T" in (state_of(process.pid), state_of(child)):
        time.sleep(0.01)
    going = (state_of(process.pid), state_of(child))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)

    assert stopped in {("T", "T"), ("T", "D")}
    assert "T" not in going


@pytest.mark.slow
def test_no_signal_is_lost_right_behind_another(job: Job, temporary: Path) -> None:
    """D23: the main thread gets them all, also while it is busy with the one before; a runner sends several."""
    for _ in range(40):
        process = start(job, temporary, "echo ready; while :; do sleep 0.05; done")
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def test_the_folder_is_private_from_the_start(job: Job, temporary: Path) -> None:
    """Never a moment in which another user could read the token."""
    process = start(job, temporary, "echo ready; sleep 30")
    (folder,) = temporary.iterdir()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)

    assert modes[0] == 0o700
    assert set(modes[1:]) == {0o600}


def test_what_a_killed_one_left_is_swept_when_its_command_has_ended(job: Job, temporary: Path) -> None:
    """Nobody can clean up at SIGKILL; the next does, but not under a command that still runs."""
    killed = start(job, temporary, "echo ready; echo $$; exec sleep 30")
    assert killed.stdout is not None
    child = int(killed.stdout.readline())
    (left,) = temporary.iterdir()
    killed.kill()
    killed.wait(10)
    run_cli("exec", "--", "true", environ=job.github(RUNNER_TEMP=str(temporary)))
    while_running = list(temporary.iterdir())
    os.kill(child, signal.SIGKILL)
    killed.communicate(timeout=10)
    other = start(job, temporary, "echo ready; sleep 30")
    with_another = list(temporary.iterdir())
    other.send_signal(signal.SIGTERM)
    other.communicate(timeout=10)

    assert while_running == [left]
    assert len(with_another) == 1
    assert left not in with_another
    assert list(temporary.iterdir()) == []


def test_only_what_is_ours_is_swept(job: Job, temporary: Path) -> None:
    """Folders of others, links and files of that name stay; so does one that is just being made."""
    target = temporary / "target"
    (target / "precious").mkdir(parents=True)
    (target / ".in-use").touch()
    (temporary / "keyless-exec-link").symlink_to(target)
    (temporary / "keyless-exec-file").write_text("x")
    (temporary / "keyless-exec-new").mkdir(0o700)
    linked = temporary / "keyless-exec-linked-lock"
    linked.mkdir(0o700)
    (linked / ".in-use").symlink_to(target / ".in-use")
    before = sorted(temporary.iterdir())
    done = run_cli("exec", "--", "true", environ=job.github(RUNNER_TEMP=str(temporary)))

    assert done.returncode == 0, done.stderr
    assert sorted(temporary.iterdir()) == before
    assert (target / "precious").is_dir()


def test_ci_identity_variables_include_copies() -> None:
    """A token under a second name is the same token."""
    token = "a-token"
    environ = {"KEYLESS_ID_TOKEN_VAR": "MINE", "MINE": token, "COPY": f" {token} ", "OTHER": "x"}

    assert {"MINE", "COPY", "KEYLESS_ID_TOKEN_VAR"} <= ci_identity_variables(environ, "https://hub.example.org")
    assert "OTHER" not in ci_identity_variables(environ, "https://hub.example.org")


def test_credentials_of_a_machine_are_the_commands_own() -> None:
    """A job may need AWS for its data; a provider says in its own file what only its id token needs."""
    secrets = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session"}
    github = {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": "u", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}

    assert ci_identity_variables({**github, **secrets}, "a") == set(github) - {"GITHUB_ACTIONS"}


def test_the_child_environment_is_a_copy() -> None:
    """Our own variables stay: the refresh needs them."""
    environ = {"HF_OIDC_ID_TOKEN": "t", "PATH": "/bin"}
    child = child_environment(
        environ,
        audience="a",
        token_file="/t",
        named_files={},
        endpoint=None,
        exported=("X", "v"),
        keeps_ci_identity=False,
    )

    assert child == {"PATH": "/bin", "HF_TOKEN_PATH": "/t", "X": "v"}
    assert environ == {"HF_OIDC_ID_TOKEN": "t", "PATH": "/bin"}
