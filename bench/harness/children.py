"""Child processes: started on a core, ready when they answer, stopped however the run ends."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harness.machine import on_core

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 30.0
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class Missing(Exception):
    """A peer cannot take part; the text says what is missing and how to get it."""


class Failed(Exception):
    """The run has no result; the text says why."""


def environment(**extra: str) -> dict[str, str]:
    """Return the little that a child needs: nothing of the caller's job, proxy or Python settings."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | extra


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int, path: str) -> bool:
    """Tell whether an HTTP server on loopback gives any answer to GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


@contextmanager
def serving(
    command: Sequence[str | Path], *, port: int, log: Path, core: int, env: Mapping[str, str], path: str = "/"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends.

    Args:
        command: The program and its arguments.
        port: Where it will listen on loopback.
        log: File for what it prints; quoted when it fails.
        core: The core it runs on.
        env: Its whole environment.
        path: What to GET to see that it is ready; any answer will do.

    Raises:
        Failed: It ended, or did not answer in time.
    """
    with log.open("wb") as output, on_core(core):
        child = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port, path):
            if child.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        Failed: It ended with another status than 0; both of its streams are quoted.
    """
    done = subprocess.run(
        [*map(str, command)], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: status {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def beside_python(program: str) -> Path:
    """Return a program of the environment that runs us."""
    return Path(sys.executable).parent / program
