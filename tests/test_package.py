"""The built wheel: what it brings, what it needs, what importing it loads (D1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.lock import LOCKS

ROOT = Path(__file__).resolve().parent.parent
# No index, no user configuration: an install that needs anything else fails.
OFFLINE = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1"}


def run(*command: str | Path) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=OFFLINE, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the locked backend."""
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, ROOT)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty environment and return that environment's Python."""
    environment = tmp_path_factory.mktemp("bare") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    # Dependencies are wanted here: one that had to be installed would be looked for, and there is no index.
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", wheel)
    return python


def test_installing_the_wheel_brings_no_further_package(bare: Path) -> None:
    """D1: nothing foreign in a job that holds an id token."""
    listed = json.loads(run(sys.executable, "-m", "pip", "--python", bare, "list", "--format", "json"))

    assert [package["name"] for package in listed] == ["keyless"]


def test_importing_the_package_loads_the_standard_library_only(bare: Path) -> None:
    """D1, D18: `import keyless` loads no third-party module, nor does reaching for any of its public names."""
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"  # a distribution's own start-up modules, such as Debian's sitecustomize
        "import keyless\n"
        "[getattr(keyless, name) for name in keyless.__all__]\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(roots - set(sys.stdlib_module_names) - {'keyless'}))"
    )

    assert run(bare, "-I", "-c", program).strip() == "[]"


def test_the_command_runs_in_the_empty_environment(bare: Path) -> None:
    """D1: the client's verbs need nothing but the wheel."""
    command = bare.with_name("keyless")

    assert "0.1.0" in run(command, "--version")
    assert "exec" in run(command, "--help")


def test_a_server_verb_says_which_extra_is_missing(bare: Path) -> None:
    """A bare installation names the extra instead of showing a traceback."""
    done = subprocess.run(
        [str(bare.with_name("keyless")), "serve"], env=OFFLINE, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 2
    assert "keyless[server]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_wheel_holds_what_is_needed_at_run_time_and_no_tests(wheel: Path) -> None:
    """The type marker, the migrations, the test helpers and the licence are shipped."""
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {
        "keyless/py.typed",
        "keyless/server/store/migrations/env.py",
        "keyless/testing/pytest_plugin.py",
        "keyless/demo/cli.py",
    } <= names
    assert any(name.startswith("keyless/server/store/migrations/versions/0001") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests/")]


def test_the_locks_name_no_address_and_hash_every_package() -> None:
    """A lock works with any index that serves the same files."""
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    for lock in locks:
        text = lock.read_text()
        pinned = [line for line in text.splitlines() if "==" in line.partition(";")[0]]

        assert "://" not in text, lock.name
        assert text.count(" \\\n    --hash=sha256:") >= len(pinned), lock.name

    known = {name for name in LOCKS if name.startswith("requirements")}
    assert {str(lock.relative_to(ROOT)) for lock in locks} == known
