"""`keyless revoke`: a token is given back, and never stands on a command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.job import REVOKE_PATH, Job, run_cli
from tests.support.stub import Answer

TOKEN = "kl_given-back.abc+/="


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


def revoke(*words: str, environ: Mapping[str, str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keyless", "revoke", *words],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ},
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_from_standard_input(job: Job) -> None:
    """RFC 7009 section 2.1: a form with the token."""
    result = revoke(environ=job.github(), given=f"{TOKEN}\n")

    assert (result.stdout, result.stderr, result.returncode) == ("", "keyless: revoked\n", 0)
    assert [(request.path, request.body) for request in job.requests] == [
        (REVOKE_PATH, b"token=kl_given-back.abc%2B%2F%3D")
    ]


def test_from_a_file(job: Job, tmp_path: Path) -> None:
    """--file, and --endpoint wins over the variable."""
    (tmp_path / "token").write_text(TOKEN)
    result = revoke("--file", str(tmp_path / "token"), "--endpoint", job.url, environ={"HF_ENDPOINT": "https://h.test"})

    assert (result.returncode, job.count(REVOKE_PATH)) == (0, 1)


def test_an_argument_is_refused_and_not_repeated(job: Job) -> None:
    """It is in the process list already; the message does not put it into the log too."""
    result = revoke(TOKEN, environ=job.github())

    assert (result.returncode, job.requests) == (2, [])
    assert "Pipe the token in" in result.stderr
    assert TOKEN not in result.stderr


@pytest.mark.parametrize("given", ["", "\n", "two tokens", "a\tb", "t\u00f6ken", "\0"], ids=repr)
def test_what_is_not_one_token_is_not_sent(job: Job, given: str) -> None:
    """An empty file is a mistake worth telling."""
    result = revoke(environ=job.github(), given=given)

    assert (result.returncode, job.requests) == (2, [])


def test_a_file_that_is_not_there(job: Job, tmp_path: Path) -> None:
    """Named, exit 2."""
    result = revoke("--file", str(tmp_path / "none"), environ=job.github())

    assert result.returncode == 2
    assert "none" in result.stderr


def test_the_hub_has_no_revocation(job: Job) -> None:
    """Nothing is sent to who cannot do it."""
    result = revoke(environ={}, given=TOKEN)

    assert result.returncode == 2
    assert "--endpoint" in result.stderr


@pytest.mark.parametrize(("answer", "code"), [(Answer(400, {}), 4), (Answer(503, b""), 5), (Answer(302, b""), 1)])
def test_failures_have_their_exit_codes(job: Job, answer: Answer, code: int) -> None:
    """As for `keyless token`; the token is not shown."""
    job.on(REVOKE_PATH, answer)
    result = revoke(environ=job.github(), given=TOKEN)

    assert result.returncode == code
    assert TOKEN not in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="sharing needs POSIX")
def test_the_next_step_gets_another_token(job: Job, tmp_path: Path) -> None:
    """A revoked token is taken out of the job's cache."""
    environ = job.github(RUNNER_TEMP=str(tmp_path))
    first = run_cli("token", environ=environ).stdout
    revoke(environ=environ, given=first)

    assert (first, run_cli("token", environ=environ).stdout) == (f"{job.access_token(1)}\n", f"{job.access_token(2)}\n")
