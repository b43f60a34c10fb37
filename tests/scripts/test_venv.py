"""The set-up program: one clear line when something is missing, and nothing done twice (D26)."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, in a project of its own."""
    spec = importlib.util.spec_from_file_location("venv_program", ROOT / "scripts" / "venv.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "venv_program", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "a.txt").write_text("one==1")
    (tmp_path / "pyproject.toml").write_text("[project]")
    return module


@pytest.fixture
def commands(venv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run; making an environment makes its interpreter."""
    ran: list[list[str]] = []

    def run(command: list[str]) -> None:
        ran.append(command)
        if command[1:3] == ["-m", "venv"]:
            python = Path(command[3]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()

    monkeypatch.setattr(venv, "run", run)
    return ran


def test_a_second_run_does_nothing(venv: ModuleType, commands: list[list[str]], tmp_path: Path) -> None:
    """D26: the second `make demo` is quick."""
    venv.ensure(tmp_path / "env", ["a.txt"], editable=True)
    first = len(commands)
    venv.ensure(tmp_path / "env", ["a.txt"], editable=True)

    assert first == 3
    assert len(commands) == first


def test_packages_are_installed_by_hash_and_without_running_their_code(
    venv: ModuleType, commands: list[list[str]], tmp_path: Path
) -> None:
    """A lock is worth what it checks."""
    venv.ensure(tmp_path / "env", ["a.txt"], editable=False)

    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(commands[1])


def test_another_lock_is_added_and_a_changed_one_starts_anew(
    venv: ModuleType, commands: list[list[str]], tmp_path: Path
) -> None:
    """No package of an older lock stays behind."""
    environment = tmp_path / "env"
    venv.ensure(environment, ["a.txt"], editable=False)
    (tmp_path / "b.txt").write_text("two==2")
    venv.ensure(environment, ["a.txt", "b.txt"], editable=False)
    added = [command[-1] for command in commands[2:]]
    (environment / "leftover").touch()
    (tmp_path / "a.txt").write_text("one==2")
    venv.ensure(environment, ["a.txt", "b.txt"], editable=False)

    assert added == [str(tmp_path / "b.txt")]
    assert not (environment / "leftover").exists()


def test_a_changed_project_file_is_installed_again(venv: ModuleType, commands: list[list[str]], tmp_path: Path) -> None:
    """A new entry point needs new metadata, and nothing else."""
    venv.ensure(tmp_path / "env", ["a.txt"], editable=True)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'")
    del commands[:]
    venv.ensure(tmp_path / "env", ["a.txt"], editable=True)

    assert [command[-1] for command in commands] == [str(tmp_path)]


def test_an_environment_made_by_hand_is_completed_not_thrown_away(
    venv: ModuleType, commands: list[list[str]], tmp_path: Path
) -> None:
    """What somebody made is theirs."""
    mine = tmp_path / "env" / "bin"
    mine.mkdir(parents=True)
    (mine / "python").touch()
    (mine / "mine").touch()
    venv.ensure(tmp_path / "env", ["a.txt"], editable=False)

    assert (mine / "mine").exists()
    assert len(commands) == 1


def test_a_missing_venv_module_is_one_line(venv: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's bare interpreter: the package to install, not a page of text."""
    monkeypatch.setattr(venv.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="python3-venv is missing: apt-get install python3-venv"):
        venv.create(tmp_path / "env")


def test_a_failed_install_ends_with_the_command(venv: ModuleType) -> None:
    """And with a status that stops make."""
    with pytest.raises(SystemExit, match="failed: "):
        venv.run([sys.executable, "-c", "raise SystemExit(3)"])


def test_every_target_is_described() -> None:
    """`make help` is where a newcomer looks."""
    # Not as a child of the make that runs the tests: that one would add lines of its own.
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=True
    )

    described = {line.split()[0] for line in done.stdout.splitlines()}
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)).split())
    assert {name for name in phony if not name.startswith("env")} == described
