"""Child processes with a clean environment, a time limit, and an end.

Each child leads its own process group, so that a Ctrl-C reaches the demo only, and the demo ends what it started. An
interrupt between the fork and our knowing of the child would leave it behind, so it is held back for that moment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self, TextIO

from keyless.errors import Error

STEP_SECONDS: Final = 120.0  # per command; the real client has no time-out of its own
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


class Interrupts:
    """Turn signals into `KeyboardInterrupt`, but not where one would do harm.

    Args:
        names: The signals; those that the platform lacks are left out.
    """

    def __init__(self, names: Sequence[str] = ("SIGINT", "SIGTERM", "SIGHUP")) -> None:
        self._numbers: Final = [getattr(signal, name) for name in names if hasattr(signal, name)]
        self._before: dict[int, Any] = {}
        self._held = 0
        self._pending = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._receive) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._held:
            self._pending = True
        else:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let interrupts wait until the block is over."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._pending and not self._held:
            self._pending = False
            raise KeyboardInterrupt


INTERRUPTS: Final = Interrupts()


class DemoError(Error):
    """The demo itself could not go on; not a step that went wrong."""

    code = "demo"


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child process ended: exit status (negative for a signal), standard output, standard error."""

    status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Return everything it printed."""
        return self.stdout + self.stderr


def run_child(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, *, seconds: float = STEP_SECONDS
) -> Finished:
    """Run a program to its end with exactly this environment.

    A child that outlives its time is killed and reported with the status of that signal.

    Raises:
        DemoError: The program cannot be started.
    """
    child: subprocess.Popen[str] | None = None
    try:
        with INTERRUPTS.held():
            child = _start(arguments, environment, folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            stdout, stderr = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            end(child)
            stdout, stderr = child.communicate()
            stderr += f"killed: no end within {seconds:g} s\n"
    except BaseException:  # Ctrl-C in the middle of a step
        if child is not None:
            with INTERRUPTS.held():
                end(child)
                child.communicate()
        raise
    return Finished(child.returncode, stdout, stderr)


def _start(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, *, stdout: int | TextIO, stderr: int
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            arguments,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise DemoError(f"cannot start {arguments[0]}: {error.strerror}") from error


def end(child: subprocess.Popen[str]) -> None:
    """Ask a child and everything it started to stop, then make them.

    The child's own end says nothing of what it started, which may be slower to stop: all are gone when this returns.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        while time.monotonic() < deadline:
            if not _any_left(child.pid):
                return
            time.sleep(0.01)


def _any_left(group: int) -> bool:
    """Tell whether a process of a group still runs; one that ended and waits for its reaper does not."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = entry.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        if its_group == str(group) and state not in "ZX":
            return True
    return False


class Background:
    """A server that runs as a child process until `close`; its log goes to a file.

    Args:
        arguments: The program.
        environment: All of its environment.
        folder: Its working folder.
        log: Receives its output.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self._log_path: Final = log
        with log.open("w", encoding="utf-8") as output:  # the child has a descriptor of its own
            self._child: Final = _start(arguments, environment, folder, stdout=output, stderr=subprocess.STDOUT)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = START_SECONDS) -> None:
        """Wait until the server answers.

        Raises:
            DemoError: It ended, or did not answer in time; the hint holds the end of its log.
        """
        pause = threading.Event()
        for _ in range(int(seconds / 0.05)):
            if self._child.poll() is not None:
                raise DemoError("the service did not start", hint=self.log_tail())
            if ready():
                return
            pause.wait(0.05)
        raise DemoError(f"the service was not ready within {seconds:g} s", hint=self.log_tail())

    def wait(self) -> int:
        """Wait until it ends by itself and return its exit status."""
        return self._child.wait()

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
        return "\n".join(self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        """Stop the server and wait for its end."""
        end(self._child)
