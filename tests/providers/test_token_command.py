"""A token that a command prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyless.errors import AudienceError, MintError, MintUnavailableError, OIDCConfigurationError
from tests.providers.asking import AUDIENCE, failure, find, mint
from tests.support.job import make_id_token


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """An environment whose command prints a token for the audience it was asked for."""
    (tmp_path / "token").write_text(make_id_token(AUDIENCE) + "\n")
    program = tmp_path / "issue-token"
    program.write_text(f'#!/bin/sh\n[ "$2" = "$KEYLESS_ID_TOKEN_AUDIENCE" ] && cat {tmp_path}/token\n')
    program.chmod(0o755)
    return {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "KEYLESS_ID_TOKEN_COMMAND": "issue-token --audience {audience}",
    }


def test_the_command_gets_the_audience_twice(job: dict[str, str], tmp_path: Path) -> None:
    """As a word and as a variable, because there is no shell to put one into the other."""
    assert mint(job) == (tmp_path / "token").read_text().strip()
    assert find(job).mints_anew


def test_there_is_no_shell(job: dict[str, str], tmp_path: Path) -> None:
    """A pipe or a redirection is a word like any other."""
    job["KEYLESS_ID_TOKEN_COMMAND"] += f" > {tmp_path}/planted"
    mint(job)

    assert not (tmp_path / "planted").exists()


def test_an_audience_cannot_become_another_word(job: dict[str, str]) -> None:
    """The words are split before the audience is put in."""
    error = failure(job, "x --spoofed y")

    assert isinstance(error, AudienceError)


@pytest.mark.parametrize("command", ["'unclosed", '"', "''", "\\"])
def test_what_cannot_be_split_is_a_configuration_error(command: str) -> None:
    """Exit 2, and the text is not shown."""
    error = failure({"KEYLESS_ID_TOKEN_COMMAND": command})

    assert isinstance(error, OIDCConfigurationError)


@pytest.mark.parametrize(("status", "kind"), [(1, MintError), (75, MintUnavailableError)])
def test_a_failing_command(job: dict[str, str], status: int, kind: type[MintError]) -> None:
    """Its words may hold a secret and are not shown; 75 asks for another try."""
    job["KEYLESS_ID_TOKEN_COMMAND"] = f"sh -c 'echo hidden-word >&2; echo hidden-word; exit {status}'"
    error = failure(job)

    assert type(error) is kind
    assert "hidden-word" not in f"{error} {error.hint}"
    assert str(status) in str(error)


def test_a_missing_program_is_not_named(job: dict[str, str]) -> None:
    """The variable may hold anything, a pasted token too."""
    job["KEYLESS_ID_TOKEN_COMMAND"] = "no-such-program-4711"
    error = failure(job)

    assert "no-such-program" not in f"{error} {error.hint}"
    assert "PATH" in str(error)


def test_chatter_is_not_a_token(job: dict[str, str]) -> None:
    """One token, alone on its line."""
    job["KEYLESS_ID_TOKEN_COMMAND"] = "echo here it is"

    assert "here it is" not in str(failure(job))


def test_a_token_for_somebody_else(job: dict[str, str], tmp_path: Path) -> None:
    """Reported before anything is sent, with the placeholder's name."""
    (tmp_path / "token").write_text(make_id_token("https://other.example"))
    error = failure(job)

    assert isinstance(error, AudienceError)
    assert "{audience}" in (error.hint or "")


def test_a_command_that_hangs(job: dict[str, str]) -> None:
    """Bounded in time by the one deadline."""
    job["KEYLESS_ID_TOKEN_COMMAND"] = "sleep 30"

    assert isinstance(failure(job, seconds=0.3), MintUnavailableError)


def test_nothing_shows_the_command(job: dict[str, str]) -> None:
    """S8: repr of what was found."""
    job["KEYLESS_ID_TOKEN_COMMAND"] = "tool --password secretsecret"
    found = find(job)

    assert "secretsecret" not in f"{found!r} {found.identity!r}"
