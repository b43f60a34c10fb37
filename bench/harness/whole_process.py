"""Whole-process figures of finished commands, through the tiny launcher."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.children import Failed, environment


@dataclass(frozen=True, slots=True)
class Command:
    """A command to measure; `argv[0]` is the program's full path."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finished:
    """What the kernel counted for one finished process and its children."""

    wall_ms: float
    cpu_ms: float
    peak_mib: float
    stdout: str


class Launcher:
    """Run commands one at a time on one core. Made by `launcher`."""

    def __init__(self, process: subprocess.Popen[str], core: int, directory: Path) -> None:
        self._process = process
        self._core = core
        self._stdout = directory / "stdout"
        self._stderr = directory / "stderr"

    def run(self, command: Command) -> Finished:
        """Run a command to its end.

        Raises:
            Failed: It ended with another status than 0, or the launcher did.
        """
        pairs = [f"{name}={value}" for name, value in command.env.items()]
        words = [self._core, self._stdout, self._stderr, len(command.argv), *command.argv, *pairs]
        if self._process.stdin is None or self._process.stdout is None:
            raise Failed("the launcher has no pipes")
        self._process.stdin.write("\0".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if not answer:
            raise Failed(f"{command.name}: {command.argv[0]} could not be started")
        if answer[0] != "0":
            raise Failed(f"{command.name}: status {answer[0]}\n{self._stderr.read_text(errors='replace')[-2000:]}")
        wall, user, system, peak_kib = map(float, answer[1:])
        return Finished(wall * 1e3, (user + system) * 1e3, peak_kib / 1024, self._stdout.read_text(errors="replace"))


@contextmanager
def launcher(core: int, directory: Path) -> Iterator[Launcher]:
    """Keep one launcher for a whole run."""
    program = Path(__file__).with_name("launcher.py")
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        yield Launcher(process, core, directory)
