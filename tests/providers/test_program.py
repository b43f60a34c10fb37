"""Running a platform's program: no shell, bounded, and nothing that it printed in a message."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.errors import MintError, MintUnavailableError
from keyless.http.deadline import Deadline
from keyless.providers.program import Finished, read_printed_token, run_program

Program = Callable[[str], dict[str, str]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Make a program `tool` of a line of shell, and return an environment that finds it."""

    def make(body: str) -> dict[str, str]:
        path = tmp_path / "tool"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    return make


def run(environ: dict[str, str], *words: str, seconds: float = 5) -> Finished:
    return run_program(
        ["tool", *words],
        source="the tool",
        environ=environ,
        deadline=Deadline(seconds),
        missing_hint="install it",
        late_hint="it hangs",
    )


def test_words_are_passed_as_they_are(program: Program) -> None:
    """There is no shell to read them."""
    finished = run(program('printf "%s\\n" "$@"'), "a b", "$HOME", "; rm -rf /", "`id`")

    assert finished.output.decode().splitlines() == ["a b", "$HOME", "; rm -rf /", "`id`"]


def test_the_environment_is_what_was_given(program: Program) -> None:
    """Nothing of ours is added."""
    environ = program("env")

    assert b"HOME=" not in run(environ).output


def test_a_missing_program_says_what_to_install() -> None:
    """Agent missing."""
    with pytest.raises(MintError, match="not installed") as caught:
        run({"PATH": "/nonexistent"})

    assert caught.value.hint == "install it"


def test_a_file_that_is_no_program_is_reported(program: Program, tmp_path: Path) -> None:
    """A damaged binary is not a crash."""
    environ = program("")
    (tmp_path / "tool").write_bytes(b"\x7fELF nonsense")

    with pytest.raises(MintError, match="cannot be started"):
        run(environ)


def test_a_program_that_hangs_is_stopped_with_all_it_started(program: Program, tmp_path: Path) -> None:
    """One deadline for the whole resolution."""
    environ = program(f"(while :; do echo x >> {tmp_path}/alive; sleep 0.05; done) & sleep 30")
    begun = time.monotonic()

    with pytest.raises(MintUnavailableError, match="did not end") as caught:
        run(environ, seconds=0.5)

    assert time.monotonic() - begun < 15
    assert caught.value.hint == "it hangs"
    size = (tmp_path / "alive").stat().st_size
    time.sleep(0.2)
    assert (tmp_path / "alive").stat().st_size == size


def test_a_program_that_leaves_a_child_behind_does_not_delay_us(program: Program) -> None:
    """Its output is in the pipe; the child holds the other end."""
    begun = time.monotonic()
    finished = run(program("echo token; sleep 20 &"))

    assert finished.output == b"token\n"
    assert time.monotonic() - begun < 15


def test_endless_output_is_cut(program: Program) -> None:
    """A megabyte is not a token, and not in our memory."""
    with pytest.raises(MintError, match="more than"):
        run(program("yes"))


def test_endless_complaints_do_not_block(program: Program) -> None:
    """Standard error is drained, and only its beginning kept."""
    finished = run(program("head -c 3000000 /dev/zero | tr '\\0' e >&2; echo token"))

    assert finished.output == b"token\n"
    assert len(finished.complaint) < 100_000


def test_a_program_gets_no_input(program: Program) -> None:
    """It must not wait for an answer that nobody gives."""
    assert run(program("cat; echo end")).output == b"end\n"


@pytest.mark.parametrize("output", [b"", b"  \n", b"two tokens", b"two\nlines", b"\xff\xfe", b"\x1b[31m"])
def test_what_is_not_one_token_is_refused(output: bytes) -> None:
    """A program's chatter is not a token, and is not shown."""
    with pytest.raises(MintError) as caught:
        read_printed_token(Finished(0, output, ""), source="the tool", hint="h")

    assert "two" not in caught.value.message


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=200), st.integers(0, 255))
def test_any_output_ends_in_a_token_or_our_error(tmp_path: Path, output: bytes, status: int) -> None:
    """Any bytes from a command never crash minting."""
    (tmp_path / "output").write_bytes(output)
    path = tmp_path / "tool"
    if not path.exists():
        path.write_text('#!/bin/sh\ncat "$1"; cat "$1" >&2; exit "$2"\n')
        path.chmod(0o755)
    environ = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    finished = run(environ, str(tmp_path / "output"), str(status))

    assert (finished.output, finished.status) == (output, status)
    try:
        read_printed_token(finished, source="the tool", hint="h")
    except MintError:
        return
