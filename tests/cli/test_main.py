"""The dispatcher: verbs, help, and no traceback whatever happens."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from keyless import __version__
from keyless.cli import main as dispatcher
from keyless.cli.main import VERBS, main
from keyless.errors import ExchangeRefusedError
from tests.support.job import run_cli


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["version"]])
def test_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The version goes to stdout."""
    assert main(words) == 0
    assert capsys.readouterr().out == f"keyless {__version__}\n"


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A user finds all verbs and the exit codes in one place."""
    assert main(words) == 0
    out = capsys.readouterr().out
    assert [verb for verb in VERBS if f"  {verb} " not in out] == []
    assert "Exit codes" in out


@pytest.mark.parametrize("verb", ["token", "exec", "id-token", "providers", "revoke", "git-credential", "completion"])
@pytest.mark.parametrize("words", [["{}", "--help"], ["{}", "-h"], ["help", "{}"]])
def test_each_verb_explains_itself(verb: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Usage, examples and exit codes, on stdout."""
    assert main([word.format(verb) for word in words]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: keyless {verb}")
    assert "exit codes:" in out


@pytest.mark.parametrize(("word", "suggestion"), [("tokn", "keyless token"), ("xyzzy", "keyless help")])
def test_an_unknown_verb_is_a_usage_error(word: str, suggestion: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, with the nearest verb."""
    assert main([word]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keyless: usage: ")
    assert suggestion in captured.err


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["token", "--resuorce", "a/b"], "--resource"),
        (["token", "--resource"], "--help"),
        (["token", "--json=1"], "--help"),
        (["token", "--format", "yaml"], ""),
        (["token", "--format", "text", "--json"], ""),
        (["token", "--resource", "a/b", "--resource", "c/d"], ""),
        (["token", "--resource="], ""),
        (["token", "a/b"], "--help"),
        (["exec", "ls"], "-- COMMAND"),
        (["exec", "--resource", "a/b"], "-- COMMAND"),
        (["exec", "--resource", "a/b", "--"], "-- COMMAND"),
        (["exec", "--"], "-- COMMAND"),
        (["exec", "--", "ls"], "HF_OIDC_RESOURCE"),
        (["exec", "--resource", "a/b", "--resource", "c/d", "--", "ls"], "DATA="),
        (["exec", "--resource", "1X=a/b", "--", "ls"], ""),
        (["exec", "--resource", "X=", "--", "ls"], ""),
        (["exec", "--resource", "X=a/b", "--resource", "X=c/d", "--", "ls"], ""),
        (["exec", "--resource", "a/b", "--env", "A-B", "--", "ls"], ""),
        (["id-token", "--audience"], "--help"),
        (["providers", "extra"], "--help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_usage_errors(words: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, nothing on stdout, and what to write instead."""
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keyless: usage: ")
    assert suggestion in captured.err


def test_a_misplaced_argument_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """S8: it may be a token."""
    main(["token", "hf_secretsecretsecret"])

    assert "secretsecret" not in capsys.readouterr().err


def verb_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    module = ModuleType("tests_verb")

    def run(_argv: list[str]) -> int:
        raise error

    module.run = run  # type: ignore[attr-defined]  # a module made for the test
    monkeypatch.setitem(sys.modules, "tests_verb", module)
    monkeypatch.setattr(dispatcher, "VERBS", {"broken": ("tests_verb", "")})


def test_a_bug_shows_no_traceback_and_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception nobody expected may quote anything, so only its type is shown."""
    verb_that(monkeypatch, RuntimeError("secretsecretsecret"))

    assert main(["broken"]) == 1
    err = capsys.readouterr().err
    assert "RuntimeError" in err
    assert "Traceback" not in err
    assert "secretsecret" not in err


def test_a_traceback_is_shown_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """KEYLESS_DEBUG=traceback, with what looks like a token masked."""
    monkeypatch.setenv("KEYLESS_DEBUG", "traceback")
    verb_that(monkeypatch, ExchangeRefusedError("no hf_jwt_abcdefgh.ijkl", status=400))

    assert main(["broken"]) == 4
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.count("abcdefgh") == 1  # the message itself is the raiser's; the traceback repeats nothing


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_interruptions_are_quiet(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    """Ctrl-C and `| head` end without a word."""
    monkeypatch.setattr(dispatcher, "_silence_stdout", lambda: None)
    verb_that(monkeypatch, error)

    assert main(["broken"]) == code
    assert capfd.readouterr() == ("", "")


def test_a_closed_pipe_is_quiet() -> None:
    """The interpreter's own flush at exit must not complain either."""
    reader = subprocess.Popen(
        f"{sys.executable} -m keyless help | true; exit ${{PIPESTATUS:-0}}",
        shell=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    assert reader.communicate(timeout=20)[1] == ""


def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """D1: the server's verbs exist in a client-only installation, and say what is missing."""
    monkeypatch.setattr(dispatcher, "VERBS", {"serve": ("tests.support.needs_absent_package", "")})

    assert main(["serve"]) == 2
    assert "keyless[server]" in capsys.readouterr().err


def test_the_module_runs() -> None:
    """`python -m keyless` is the same program."""
    assert run_cli("--version", environ={}).stdout == f"keyless {__version__}\n"
