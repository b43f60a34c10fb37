"""What `make dist` refuses to call a distribution: each archive here has one thing wrong."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import dist

ROOT = Path(__file__).resolve().parents[2]
EPOCH = 1_795_348_800
STAMP = (2026, 11, 22, 12, 0, 0)
HTMX = "keyless/server/ui/static/vendor/htmx-4.0.1"
PACKAGE = dist.NEEDED_IN_WHEEL | {"keyless/__init__.py", f"{HTMX}/htmx.min.js", f"{HTMX}/LICENSE"}
METADATA = """\
Metadata-Version: 2.4
Name: keyless
Version: 0.1.0
License-Expression: Apache-2.0
Requires-Dist: x; extra == 'server'
"""
INFO = "keyless-0.1.0.dist-info"
Members = dict[str, bytes]


def wheel(folder: Path, members: Members, *, stamp: tuple[int, ...] = STAMP, mode: int = 0o644) -> Path:
    """Write a wheel."""
    path = folder / "keyless-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, stamp)  # type: ignore[arg-type]  # a tuple of six
            member.external_attr = mode << 16
            archive.writestr(member, content)
    return path


def members() -> Members:
    """Return what a good wheel holds."""
    info = {f"{INFO}/{name}": b"" for name in dist.DIST_INFO}
    return dict.fromkeys(PACKAGE, b"") | info | {f"{INFO}/METADATA": METADATA.encode()}


def test_a_good_wheel_has_no_fault(tmp_path: Path) -> None:
    """The other tests change one thing of it."""
    assert dist.wheel_faults(wheel(tmp_path, members()), PACKAGE, EPOCH) == []


def without(name: str) -> Callable[[Members], object]:
    return lambda found: found.pop(name)


def with_metadata(old: str, new: str) -> Callable[[Members], object]:
    return lambda found: found.update({f"{INFO}/METADATA": METADATA.replace(old, new).encode()})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without("keyless/py.typed"), "not in the wheel: keyless/py.typed"),
        (without("keyless/__init__.py"), "not in the wheel: keyless/__init__.py"),
        (without("keyless/server/ui/templates/base.html"), "not in the wheel: keyless/server/ui/templates/base.html"),
        (without(f"{HTMX}/htmx.min.js"), "the vendored htmx and its licence"),
        (without(f"{INFO}/licenses/LICENSE"), f"not in the wheel: {INFO}/licenses/LICENSE"),
        (lambda found: found.update({"tests/test_x.py": b""}), "should not be in the wheel: tests/test_x.py"),
        (lambda found: found.update({"keyless/keyless.db": b""}), "should not be in the wheel: keyless/keyless.db"),
        (with_metadata("; extra == 'server'", ""), "installed bare it needs x"),
        (with_metadata("Version: 0.1.0", "Version: 0.2.0"), "the version is 0.2.0"),
        (with_metadata("License-Expression: Apache-2.0\n", ""), "no licence expression"),
    ],
)
def test_a_wheel_with_one_thing_wrong(tmp_path: Path, change: Callable[[Members], object], fault: str) -> None:
    """D1: what is shipped is the package, all of it, and it needs nothing."""
    found = members()
    change(found)

    assert fault in "\n".join(dist.wheel_faults(wheel(tmp_path, found), PACKAGE, EPOCH))


def test_times_and_permissions_of_the_wheel(tmp_path: Path) -> None:
    """What differs between two machines is not in the archive."""
    later = dist.wheel_faults(wheel(tmp_path, members(), stamp=(2026, 11, 22, 12, 0, 2)), PACKAGE, EPOCH)
    private = dist.wheel_faults(wheel(tmp_path, members(), mode=0o600), PACKAGE, EPOCH)

    assert len(later) == len(private) == len(members())
    assert "another time" in later[0]
    assert "odd permissions: 600" in private[0]


@pytest.mark.parametrize(
    ("names", "odd", "fault"),
    [
        (dist.NEEDED_IN_SDIST, {}, None),
        (dist.NEEDED_IN_SDIST - {"Makefile"}, {}, "not in the sdist: Makefile"),
        (dist.NEEDED_IN_SDIST | {".venv/secret.key"}, {}, "should not be in the sdist: .venv/secret.key"),
        (dist.NEEDED_IN_SDIST, {"uname": "somebody"}, "has another time or an owner"),
        (dist.NEEDED_IN_SDIST, {"mtime": EPOCH + 1}, "has another time or an owner"),
        (dist.NEEDED_IN_SDIST, {"mode": 0o600}, "has odd permissions: 600"),
    ],
)
def test_an_sdist_with_one_thing_wrong(
    tmp_path: Path, names: set[str], odd: dict[str, object], fault: str | None
) -> None:
    """It is the source and nothing of the machine that packed it."""
    path = tmp_path / "keyless-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in sorted(names):
            member = tarfile.TarInfo(f"keyless-0.1.0/{name}")
            member.mtime = EPOCH
            for field, value in odd.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO())
    found = dist.sdist_faults(path, dist.NEEDED_IN_SDIST - {"PKG-INFO"}, EPOCH)

    assert fault in "\n".join(found) if fault else found == []


def test_the_two_builds_share_nothing_that_could_show() -> None:
    """A build that shows its folder, mask, time, zone, locale or hash seed gives two results."""
    first, second = dist.FIRST, dist.SECOND

    assert (first.folder, first.mask, first.touched) != (second.folder, second.mask, second.touched)
    assert all(first.variables[name] != second.variables[name] for name in first.variables)


def test_a_copy_of_the_source_keeps_only_who_may_run_it(tmp_path: Path) -> None:
    """Two copies have other modes and times, and the same bytes."""
    names = ["ci/github-action.sh", "pyproject.toml"]
    for surroundings, modes in ((dist.FIRST, [0o755, 0o644]), (dist.SECOND, [0o700, 0o600])):
        target = tmp_path / surroundings.folder
        dist.copy_source(target, names, surroundings)
        found = [target / name for name in names]

        assert [path.stat().st_mode & 0o777 for path in found] == modes
        assert {int(path.stat().st_mtime) for path in found} == {surroundings.touched}
        assert [path.read_bytes() for path in found] == [(ROOT / name).read_bytes() for name in names]


def test_the_time_of_the_archives_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """SOURCE_DATE_EPOCH, as every tool for reproducible builds has it."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    assert dist.source_date() == 1_700_000_000


@pytest.mark.parametrize(
    ("tag", "changelog", "faults"),
    [
        ("v0.1.0", "## [0.1.0] - 2026-11-22\n", 0),
        ("v0.1.1", "## [0.1.0] - 2026-11-22\n", 1),
        ("v0.1.0", "## [Unreleased]\n", 1),
        ("0.1.0", "## [0.1.0]\n", 2),
    ],
)
def test_a_tag_names_a_version_whose_changes_are_described(tag: str, changelog: str, faults: int) -> None:
    """A release without its line in the changelog is none."""
    assert len(dist.tag_faults(tag, "0.1.0", changelog)) == faults


def test_the_release_publishes_without_a_stored_secret() -> None:
    """The id token only in the job that publishes and runs none of our code; every action by its commit."""
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    before, _, publish = text.partition("\n  publish:\n")

    assert "secrets." not in text
    assert "id-token" not in before
    assert publish.count("id-token: write") == 1
    assert "run:" not in publish
    assert "environment:" in publish
    actions = re.findall(r"uses: (\S+)(.*)", text)
    assert len(actions) > 3
    assert [
        name for name, note in actions if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name) or "# v" not in note
    ] == []
