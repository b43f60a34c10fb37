"""Make a virtual environment match its lock files (called by the Makefile; standard library only).

    python3 scripts/venv.py .venv requirements/demo.txt [requirements/dev.txt …] [--editable]

Installs with plain pip and `--require-hashes`, so a newcomer needs nothing but Python. What was installed is written
into the environment as a stamp; when the stamp agrees, nothing is done and the whole call takes some 30 ms. An
environment whose locks have changed is made anew, so no package stays behind. Old interpreters get far enough to be
told in one line what is missing.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # the reader may well have an older one: that is the point
    sys.exit(
        f"keyless needs Python 3.11 or newer and this is {sys.version.split()[0]} ({sys.executable}): "
        "install one, then for example `make PYTHON=python3.11 demo`"
    )

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no lock, and nobody runs two makes at once there
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
METADATA = "pyproject.toml"  # what the installed package's metadata and entry points are made of
# A user's pip settings (index, proxy, certificates) are honoured; what would install elsewhere is not.
UNWANTED = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH", "PYTHONHOME"}


def fingerprint(name: str) -> str:
    path = ROOT / name
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "absent"


@dataclass
class Stamp:
    """What is in an environment; written into it after each step that succeeded."""

    interpreter: str
    place: str  # a moved folder has scripts that point elsewhere
    locks: dict[str, str] = field(default_factory=dict)
    editable: str = ""

    @classmethod
    def read(cls, environment: Path) -> "Stamp | None":
        try:
            return cls(**json.loads(cls.path(environment).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @staticmethod
    def path(environment: Path) -> Path:
        return environment / "keyless-locks.json"

    def write(self, environment: Path) -> None:
        temporary = self.path(environment).with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        temporary.replace(self.path(environment))

    def agrees(self, other: "Stamp") -> bool:
        return (self.interpreter, self.place) == (other.interpreter, other.place) and all(
            fingerprint(name) == seen for name, seen in self.locks.items()
        )


@contextmanager
def held(environment: Path) -> Iterator[None]:
    """Let one process at a time work on an environment (`make -j`, two terminals)."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_name(f"{environment.name}.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"failed: {' '.join(command)}")


def create(environment: Path) -> None:
    # Debian ships the interpreter without ensurepip; `python3 -m venv` then fails with a page of text.
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit("python3-venv is missing: apt-get install python3-venv")
    shutil.rmtree(environment, ignore_errors=True)
    print(f"making {environment.relative_to(ROOT)} with Python {sys.version.split()[0]}", flush=True)
    run([sys.executable, "-m", "venv", str(environment)])


def ensure(environment: Path, locks: Sequence[str], *, editable: bool) -> None:
    """Create the environment where needed and install what its stamp does not name yet."""
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip_install = [str(python), "-m", "pip", "install", "-qq", "--no-input", "--no-deps"]
    fresh = Stamp(sys.version.split()[0], str(environment))
    stamp = Stamp.read(environment)
    # An environment without a stamp was made by hand: it is completed, not thrown away.
    if not python.exists() or (stamp is not None and not stamp.agrees(fresh)):
        create(environment)
        stamp = None
    stamp = stamp or fresh
    for lock in locks:
        if lock not in stamp.locks:
            print(f"installing {lock}", flush=True)
            run([*pip_install, "--require-hashes", "--only-binary", ":all:", "--requirement", str(ROOT / lock)])
            stamp.locks[lock] = fingerprint(lock)
            stamp.write(environment)
    if editable and stamp.editable != fingerprint(METADATA):
        print("installing this package from source", flush=True)
        run([*pip_install, "--no-index", "--no-build-isolation", "--editable", str(ROOT)])
        stamp.editable = fingerprint(METADATA)
        stamp.write(environment)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a virtual environment match its lock files.")
    parser.add_argument("environment", type=Path)
    parser.add_argument("locks", nargs="+", metavar="LOCK")
    parser.add_argument("--editable", action="store_true", help="install this package from source, too")
    arguments = parser.parse_args()
    environment = ROOT / arguments.environment
    with held(environment):
        ensure(environment, arguments.locks, editable=arguments.editable)


if __name__ == "__main__":
    main()
