"""Build the sdist and the wheel twice, see that both are the same bytes and hold what they must (`make dist`).

    .venvs/dist/bin/python scripts/dist.py dist

The two builds start from copies of the source in folders of different names, with different modes and times of the
files, another mask, zone, locale and order of hashes; the wheel is made from the sdist. What differs between them would
differ between the machine that publishes and the one of somebody who checks. The time in the archives is that of the
last commit (SOURCE_DATE_EPOCH wins).
"""

from __future__ import annotations

import argparse
import email
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = re.compile(r"^(\.git|\.venvs?|\.venv\.lock|dist|build|\..*_cache|\.hypothesis|\.coverage.*)$|__pycache__")
# What somebody needs at run time and no import would miss in our own tests.
NEEDED_IN_WHEEL = {
    "keyless/py.typed",
    "keyless/server/store/migrations/env.py",
    "keyless/server/store/migrations/versions/0001_first.py",
    "keyless/server/ui/static/keyless.css",
    "keyless/server/ui/templates/base.html",
    "keyless/testing/pytest_plugin.py",
}
VENDORED = re.compile(r"keyless/server/ui/static/vendor/htmx-[\d.]+/(htmx\.min\.js|LICENSE)")
NEEDED_IN_SDIST = {
    "CHANGELOG.md", "LICENSE", "Makefile", "PKG-INFO", "README.md", "SECURITY.md", "action.yml", "pyproject.toml",
    "ci/github-action.sh", "deploy/nginx/keyless.conf", "docs/quickstart.md", "examples/README.md",
    "requirements/demo.txt", "scripts/dist.py", "templates/publish.yml", "tests/conftest.py",
}  # fmt: skip
DIST_INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


@dataclass(frozen=True)
class Surroundings:
    """In what a build runs that must not show in its result."""

    folder: str
    mask: int
    touched: int  # seconds since 1970, the time of every source file
    variables: dict[str, str]


FIRST = Surroundings(
    "a", 0o022, 1_000_000_000, {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0", "HOME": "/nonexistent"}
)
SECOND = Surroundings(
    "another folder with a longer name", 0o077, 2_000_000_000,
    {"TZ": "Pacific/Auckland", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "4711", "HOME": "/"},
)  # fmt: skip


def source_files() -> list[str]:
    """Return what belongs to the source: what git tracks, or in an unpacked sdist everything but what make made."""
    tracked = _git("ls-files", "-z")
    if tracked:
        return sorted(name for name in tracked.split("\0") if name and (ROOT / name).is_file())
    return sorted(_walk(ROOT))


def _git(*arguments: str) -> str:
    """Return what git says, or nothing where there is no git or no repository."""
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        return ""
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _walk(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if NOT_SOURCE.search(path.name):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path.relative_to(ROOT).as_posix()


def source_date() -> int:
    """Return the time that goes into the archives: given, of the last commit, or of the newest release described."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    committed = _git("log", "-1", "--format=%ct")
    if committed:
        return int(committed)
    found = re.search(r"^## \[\d.*\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if not found:
        sys.exit("no time for the archives: set SOURCE_DATE_EPOCH")
    return int(datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp())


def copy_source(target: Path, names: list[str], surroundings: Surroundings) -> None:
    """Lay the source out under a mask and with one time; only whether a file can be run is kept."""
    for name in names if surroundings is FIRST else reversed(names):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
        copy.chmod((0o777 if os.access(ROOT / name, os.X_OK) else 0o666) & ~surroundings.mask)
        os.utime(copy, (surroundings.touched, surroundings.touched))


def build(scratch: Path, names: list[str], surroundings: Surroundings, epoch: int) -> list[Path]:
    """Build the sdist and from it the wheel; without an index, a user's configuration, or a network to ask."""
    source, output = scratch / surroundings.folder, scratch / f"{surroundings.folder} out"
    copy_source(source, names, surroundings)
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(scratch),
        "SOURCE_DATE_EPOCH": str(epoch),
        "PIP_NO_INDEX": "1",
        **surroundings.variables,
    }
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(source)]
    done = subprocess.run(
        command, env=environment, cwd=scratch, umask=surroundings.mask, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"the build failed:\n{done.stdout}{done.stderr}")
    return sorted(output.iterdir())


def digest(file: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def wheel_faults(wheel: Path, sources: set[str], epoch: int) -> list[str]:
    """Say what is wrong with a wheel; nothing if it holds exactly the package, and the package needs nothing.

    Args:
        wheel: The archive.
        sources: The files of the package as they are named in a wheel (`keyless/…`).
        epoch: The time that every member must have (zip counts in steps of two seconds, from 1980).
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next((name.partition("/")[0] for name in names if name.endswith(".dist-info/METADATA")), "")
        wanted = sources | {f"{info}/{name}" for name in DIST_INFO}
        faults = [f"not in the wheel: {name}" for name in sorted((wanted | NEEDED_IN_WHEEL) - names)]
        faults += [f"should not be in the wheel: {name}" for name in sorted(names - wanted)]
        if len([name for name in names if VENDORED.fullmatch(name)]) != 2:
            faults.append("not in the wheel: the vendored htmx and its licence")
        stamp = datetime.fromtimestamp(epoch - epoch % 2, UTC)
        for member in archive.infolist():
            if member.date_time != stamp.timetuple()[:6]:
                faults.append(f"{member.filename} has another time: {member.date_time}")
            if member.external_attr >> 16 & 0o777 not in {0o644, 0o755}:
                faults.append(f"{member.filename} has odd permissions: {member.external_attr >> 16:o}")
        if f"{info}/METADATA" in names:
            faults += _metadata_faults(archive.read(f"{info}/METADATA").decode(), wheel.name)
    return faults


def _metadata_faults(text: str, file: str) -> list[str]:
    metadata = email.message_from_string(text)
    version = re.search(r'^__version__ = "(.+)"$', (ROOT / "src/keyless/__init__.py").read_text(), re.MULTILINE)
    faults = []
    if not version or metadata["Version"] != version[1] or f"-{version[1]}-" not in file:
        faults.append(f"the version is {metadata['Version']} in the metadata and not so in the package")
    bare = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    faults += [f"installed bare it needs {line}" for line in bare]
    if metadata["License-Expression"] != "Apache-2.0":
        faults.append("the metadata has no licence expression")
    return faults


def sdist_faults(sdist: Path, sources: set[str], epoch: int) -> list[str]:
    """Say what is wrong with an sdist; nothing if it is the source, owned by nobody, under one folder.

    Args:
        sdist: The archive.
        sources: The source files, relative to the root.
        epoch: The time that every member must have.
    """
    folder = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {str(PurePosixPath(member.name).relative_to(folder)) for member in members if member.isfile()}
    faults = [f"not in the sdist: {name}" for name in sorted((NEEDED_IN_SDIST | sources) - names)]
    faults += [f"should not be in the sdist: {name}" for name in sorted(names - sources - {"PKG-INFO"})]
    for member in members:
        if member.mtime != epoch or member.uid or member.gid or member.uname or member.gname:
            faults.append(f"{member.name} has another time or an owner")
        if member.isfile() and member.mode not in {0o644, 0o755}:
            faults.append(f"{member.name} has odd permissions: {member.mode:o}")
    return faults


def tag_faults(tag: str, version: str, changelog: str) -> list[str]:
    """Say why a tag does not name this source: another version, or one whose changes nobody described."""
    faults = [] if tag == f"v{version}" else [f"the tag is {tag} and the version {version}"]
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        faults.append(f"CHANGELOG.md has no heading with a date for {version}")
    return faults


def show_size(wheel: Path) -> None:
    """Print what of the wheel's size is where, as packed and as installed."""
    packed: Counter[str] = Counter()
    installed: Counter[str] = Counter()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            parts = member.filename.split("/")
            room = parts[1] if len(parts) > 2 and parts[0] == "keyless" else "(the rest)"
            packed[room] += member.compress_size
            installed[room] += member.file_size
    for room, size in installed.most_common():
        print(f"  {room:<12}{packed[room] / 1000:>8.1f} kB packed{size / 1000:>9.1f} kB installed")


def main() -> None:
    """Build, compare, check; then lay the two files and their digests into a folder."""
    parser = argparse.ArgumentParser(description="Build the distribution twice and check it.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--tag", metavar="vX.Y.Z", help="the tag of the release: it must name this very version")
    options = parser.parse_args()
    target: Path = ROOT / options.target
    names, epoch = source_files(), source_date()
    with tempfile.TemporaryDirectory(prefix="keyless-dist-") as folder:
        scratch = Path(folder)
        first, second = (build(scratch, names, surroundings, epoch) for surroundings in (FIRST, SECOND))
        if [(file.name, digest(file)) for file in first] != [(file.name, digest(file)) for file in second]:
            kept = tempfile.mkdtemp(prefix="keyless-differs-")
            shutil.copytree(scratch, kept, dirs_exist_ok=True)
            sys.exit(f"the same source gave two different results: compare {kept}")
        sdist, wheel = sorted(first, key=lambda file: file.suffix == ".whl")
        package = {name.removeprefix("src/") for name in names if name.startswith("src/keyless/")}
        faults = [*wheel_faults(wheel, package, epoch), *sdist_faults(sdist, set(names), epoch)]
        if options.tag is not None:
            faults += tag_faults(options.tag, wheel.name.split("-")[1], (ROOT / "CHANGELOG.md").read_text())
        if faults:
            sys.exit("\n".join(faults))
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for file in (sdist, wheel):
            shutil.copyfile(file, target / file.name)
            print(f"{digest(file)}  {file.name}  {file.stat().st_size / 1000:.1f} kB, twice the same bytes")
        show_size(wheel)


if __name__ == "__main__":
    main()
