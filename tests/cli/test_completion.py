"""`keyless completion`: scripts that know every verb, option and choice, asked in the real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from keyless.cli import grammar
from keyless.cli.completion import _SCRIPTS
from keyless.cli.main import main

SHELLS = ["bash", "zsh", "fish"]
# Stand-ins for what zsh's completion system brings: each prints what it would offer.
ZSH = """\
compdef() { : }
_fit() { local w; for w in "$@"; do [[ "$w" == "$PREFIX"* ]] && print -r -- "$w"; done; return 0 }
compadd() { shift; _fit "$@" }
_describe() { local from=$@[-1]; _fit "${(@)${(@P)from}%%:*}" }
_files() { print -- FILES }
_normal() { print -r -- "NORMAL $CURRENT $words" }
"""
COMPLETIONS = [
    (["to"], ["token"]),
    (["git"], ["git-credential"]),
    (["exec", "--e"], ["--env", "--endpoint"]),
    (["token", "--form"], ["--format"]),
    (["token", "--format", ""], ["text", "json", "env", "github-env"]),
    (["trust", "iss"], ["issuer"]),
    (["trust", "issuer", "un"], ["unpin-keys"]),
    (["trust", "add", "acme/model", "--prov"], ["--provider"]),
    (["trust", "add", "--provider", "git"], ["github", "gitlab"]),
    (["admin", "person", "add", "--mach"], ["--machine"]),
    (["completion", "f"], ["fish"]),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write each shell's script."""
    folder = tmp_path_factory.mktemp("completion")
    for shell, made in _SCRIPTS.items():
        (folder / shell).write_text(f"{made()}\n")
    return {shell: folder / shell for shell in _SCRIPTS}


def run(shell: str, program: str) -> str:
    """Run a program in a shell that reads no configuration; .ci/run installs all three."""
    found = shutil.which(shell)
    assert found is not None, f"{shell} is not installed: apt-get install {shell}"
    plain = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[shell]
    done = subprocess.run(
        [found, plain],
        input=program,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def ask(shell: str, script: Path, words: list[str]) -> list[str]:
    """Return what a shell offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in ["keyless", *words])
    if shell == "bash":
        program = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _keyless; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        return run(shell, f"source {script}\n{program}\n").split()
    if shell == "zsh":
        program = f"words=({quoted}); CURRENT={len(words) + 1}; PREFIX='{words[-1]}'; _keyless"
        return [line for line in run(shell, f"{ZSH}source {script}\n{program}\n").split("\n") if line != "FILES"][:-1]
    typed = " ".join(["keyless", *words])
    offered = run(shell, f"source {script}\ncomplete -C '{typed}'\n").splitlines()
    return [line.partition("\t")[0] for line in offered]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_every_option_is_there(shell: str, scripts: dict[str, Path]) -> None:
    """What the parsers understand is the only source."""
    text = scripts[shell].read_text()
    known = grammar.commands()

    assert len(known) > 80
    assert [command.words for command in known if f"'{' '.join(command.words)}'" not in text] == []
    names = {option.name.removeprefix("--") for command in known for option in command.options}
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("words", "expected"), COMPLETIONS, ids=lambda value: " ".join(value))
def test_a_shell_completes(shell: str, words: list[str], expected: list[str], scripts: dict[str, Path]) -> None:
    """The real shell, the real script: verbs at every depth, options, and the values of an option."""
    assert sorted(ask(shell, scripts[shell], words)) == sorted(expected)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_value_nobody_can_know_is_not_guessed(shell: str, scripts: dict[str, Path]) -> None:
    """After --resource comes a name: neither verbs nor options are offered for it."""
    assert ask(shell, scripts[shell], ["token", "--resource", ""]) == []


def test_files_are_offered_where_a_file_is_wanted(scripts: dict[str, Path], tmp_path: Path) -> None:
    """By fish itself; zsh is told to, bash falls back to its own."""
    (tmp_path / "keyless.toml").touch()

    assert ask("fish", scripts["fish"], ["serve", "--config", f"{tmp_path}/key"]) == [f"{tmp_path}/keyless.toml"]
    assert "'serve --config') _files; return ;;" in scripts["zsh"].read_text()
    assert "'serve --config') files=y ;;" in scripts["bash"].read_text()


def test_what_comes_after_two_dashes_is_another_command(scripts: dict[str, Path]) -> None:
    """`keyless exec -- hf …`: the words belong to it."""
    assert ask("zsh", scripts["zsh"], ["exec", "--", "hf", "up"]) == ["NORMAL 2 hf up"]
    assert "cat" in ask("bash", scripts["bash"], ["exec", "--", "ca"])


def test_zsh_finds_it_in_its_path(scripts: dict[str, Path]) -> None:
    """As the help says to install it: `_keyless` in a folder of fpath."""
    folder = scripts["zsh"].parent / "functions"
    folder.mkdir()
    shutil.copy(scripts["zsh"], folder / "_keyless")
    program = f"fpath=({folder} $fpath)\nautoload -Uz compinit\ncompinit -u -D\nprint $_comps[keyless]\n"

    assert run("zsh", program) == "_keyless\n"


@pytest.mark.parametrize("words", [[], ["tcsh"], ["--nonsense", "bash"]])
def test_anything_else_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, nothing on stdout."""
    assert main(["completion", *words]) == 2
    assert capsys.readouterr().out == ""
