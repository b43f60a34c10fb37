"""The curl line of HF_DEBUG (S8)."""

from __future__ import annotations

import logging
import shlex

import pytest

from keyless.http import curl
from keyless.http.curl import curl_line, is_debug
from tests.support.job import Job, run_cli


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"HF_DEBUG": "1"}, True),
        ({"HF_DEBUG": "TRUE"}, True),
        ({"HF_DEBUG": "0"}, False),
        ({"HF_DEBUG": "no"}, False),
        ({"KEYLESS_DEBUG": "yes"}, True),
        ({"KEYLESS_DEBUG": "traceback"}, True),
        ({"HF_DEBUG": "traceback"}, False),
    ],
)
def test_the_switches(environ: dict[str, str], expected: bool) -> None:
    """HF's words for true, and our traceback."""
    assert is_debug(environ) is expected


def test_the_line_is_one_shell_word_per_argument() -> None:
    """Pasted into a shell it is one curl command, whatever a server or variable put into it."""
    line = curl_line(
        "POST",
        "https://hub.example.org/x?audience=it's",
        {"Content-Type": "application/json", "Authorization": "Bearer x"},
        b'{"resource": "a\'; rm -rf /", "subject_token": "t"}',
        [],
    )

    assert shlex.split(line) == [
        "curl",
        "-X",
        "POST",
        "-H",
        "Content-Type: application/json",
        "-H",
        "Authorization: Bearer ***",
        "-d",
        '{"resource":"a\'; rm -rf /","subject_token":"***"}',
        "https://hub.example.org/x?audience=it's",
    ]


def test_lines_go_to_stderr_where_nobody_configured_logging() -> None:
    """Who sets HF_DEBUG wants to see something."""
    with Job() as job:
        environ = job.github(HF_DEBUG="1")
        plain = run_cli(environ=environ, program=("-c", "import keyless; keyless.get_token()"))
        quiet = "import logging, io; logging.basicConfig(stream=io.StringIO()); import keyless; keyless.get_token()"
        configured = run_cli(environ=environ, program=("-c", quiet))

    assert plain.stderr.count("keyless.http: curl -X") == 2
    assert configured.stderr == ""


def test_the_handler_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests do not print every line twice."""
    logger = logging.getLogger("keyless")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    for _ in range(2):
        curl._logger()

    assert len(logger.handlers) == 1
