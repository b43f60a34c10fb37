"""`keyless completion`: scripts that know every verb."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from keyless.cli.completion import options_of
from keyless.cli.main import VERBS, main

SHELLS = ["bash", "zsh", "fish"]


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_the_options_of_the_jobs_verbs(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The table is the only source."""
    text = script(shell, capsys)

    assert [verb for verb in VERBS if verb not in text] == []
    assert "resource" in text
    assert "keep-ci-identity" in text


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Parsed, not run; where the shell is installed."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    text = script(shell, capsys)
    result = subprocess.run([program, "-n"], input=text, capture_output=True, text=True, check=False, timeout=20)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [("to", "token"), ("git", "git-credential"), ("exec --e", "--env --endpoint"), ("token --form", "--format")],
)
def test_bash_completes(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The real shell, the real script."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    count = len(words.split())
    ask = f'COMP_WORDS=(keyless {words}); COMP_CWORD={count}; _keyless; echo "${{COMPREPLY[*]}}"'
    text = f"{script('bash', capsys)}\n{ask}\n"
    result = subprocess.run([bash, "--norc"], input=text, capture_output=True, text=True, check=True, timeout=20)

    assert result.stdout.strip() == expected


@pytest.mark.parametrize("words", [[], ["tcsh"], ["--nonsense", "bash"]])
def test_anything_else_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, nothing on stdout."""
    assert main(["completion", *words]) == 2
    assert capsys.readouterr().out == ""


def test_options_are_read_from_the_help() -> None:
    """Each once, in its order, without its value."""
    assert options_of("usage: x --not-here\n\n  --a X   one\n  --b=Y  two\n  --a Z   again\n") == [
        "--a",
        "--b",
        "--help",
    ]
