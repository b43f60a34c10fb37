"""Child processes get exactly their environment, and none of them outlives the demo."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from keyless.demo.children import Background, DemoError, run_child


def python(program: str) -> list[str]:
    """Return a child that runs a program."""
    return [sys.executable, "-c", program]


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_child_sees_its_environment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's HF_TOKEN must not make the demo work."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    done = run_child(python("import os; print(sorted(os.environ))"), {"ONLY": "this"}, tmp_path)

    assert "HF_TOKEN" not in done.stdout
    assert "ONLY" in done.stdout


def test_status_and_both_streams_are_kept(tmp_path: Path) -> None:
    """A refusal is told apart by its status and its words."""
    done = run_child(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), {}, tmp_path)

    assert (done.status, done.stdout, done.stderr, done.output) == (3, "out\n", "err\n", "out\nerr\n")


def test_a_child_that_never_ends_is_ended_with_its_children(tmp_path: Path) -> None:
    """The real client has no time-out of its own."""
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    done = run_child(python(program), {}, tmp_path, seconds=1)

    assert done.status == -signal.SIGTERM
    assert "no end within 1 s" in done.stderr
    assert not is_running(int(done.stdout))


def test_an_interrupt_in_the_middle_of_a_step_ends_the_child(tmp_path: Path) -> None:
    """Ctrl-C leaves no process behind."""
    marker = tmp_path / "pid"
    program = f"import os, time, pathlib; pathlib.Path({str(marker)!r}).write_text(str(os.getpid())); time.sleep(60)"

    def interrupt() -> None:
        for _ in range(500):
            if marker.exists() and marker.read_text():
                break
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_child(python(program), {}, tmp_path)
    thread.join()

    assert not is_running(int(marker.read_text()))


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The demo says what it could not start."""
    with pytest.raises(DemoError, match="no-such-program"):
        run_child([str(tmp_path / "no-such-program")], {}, tmp_path)
    with pytest.raises(DemoError, match="no-such-program"):
        Background([str(tmp_path / "no-such-program")], {}, tmp_path, tmp_path / "log")


def test_a_server_that_ends_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """A wrong setting is seen without looking for a file."""
    server = Background(python("print('listen: wrong'); raise SystemExit(2)"), {}, tmp_path, tmp_path / "log")
    with pytest.raises(DemoError, match="did not start") as failed:
        server.wait_until(lambda: False)
    server.close()

    assert failed.value.hint == "listen: wrong"


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """Waiting ends."""
    server = Background(python("import time; time.sleep(60)"), {}, tmp_path, tmp_path / "log")
    with pytest.raises(DemoError, match=r"not ready within 0\.2 s"):
        server.wait_until(lambda: False, seconds=0.2)
    server.close()

    assert server.wait() == -signal.SIGTERM
