"""Exit codes and the shape of an error on stderr."""

from __future__ import annotations

import io
import json
import sys

import pytest

from keyless import errors
from keyless.cli import output
from keyless.cli.output import exit_code, report

CASES: list[tuple[errors.Error, int]] = [
    (errors.ConfigurationError("m"), 2),
    (errors.OIDCConfigurationError("m"), 2),
    (errors.ResourceSyntaxError("m"), 2),
    (errors.AudienceError("m"), 2),
    (errors.ProviderNotFoundError("m"), 3),
    (errors.IdTokenPermissionError("m"), 3),
    (errors.MintError("m", status=401), 3),
    (errors.MintError("m", status=403), 3),
    (errors.MintError("m", status=404), 1),
    (errors.MintError("m"), 1),
    (errors.MintUnavailableError("m", status=503), 5),
    (errors.ExchangeRefusedError("m", status=400), 4),
    (errors.ExchangeUnavailableError("m"), 5),
    (errors.ResponseError("m"), 1),
    (errors.TransportError("m", retryable=True), 5),
    (errors.TransportError("m", retryable=False), 1),
    (errors.UnavailableError("m"), 5),
    (errors.MalformedTokenError("m"), 1),
    (errors.RequestError("m"), 1),
]


@pytest.mark.parametrize(
    ("error", "code"), CASES, ids=[f"{number}-{type(case[0]).__name__}" for number, case in enumerate(CASES)]
)
def test_exit_codes(error: errors.Error, code: int) -> None:
    """design.md 5: scripts decide by these."""
    assert exit_code(error) == code


def test_an_error_is_one_line_and_its_indented_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """`keyless: code: message`, once."""
    assert report(errors.ExchangeRefusedError("no", status=400, hint="do this\nthen that")) == 4
    assert capsys.readouterr() == ("", "keyless: exchange_refused: no\n  do this\n  then that\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colour_only_on_a_terminal_that_wants_it(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], coloured: bool
) -> None:
    """no-color.org: any non-empty value switches it off."""
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    report(errors.ResponseError("m", hint="h"))

    assert ("\033[" in terminal.getvalue()) is coloured


@pytest.mark.parametrize("stream", [None, open])
def test_a_closed_stderr_is_nobodys_problem(monkeypatch: pytest.MonkeyPatch, stream: object) -> None:
    """Under pythonw, or after a daemon closed it."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if stream is None else closed)

    output.note("x")


def test_json_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Data is for programs."""
    output.json_data({"a": [1]})

    assert json.loads(capsys.readouterr().out) == {"a": [1]}
