"""What versions promise stays (docs/versioning.md): what is written down in promises.json is still there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from scripts import promises

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def now() -> promises.Promises:
    """Return what the code keeps today."""
    return promises.current()


def test_nothing_promised_is_gone(now: promises.Promises) -> None:
    """Names, parameters, reasons, exit codes, verbs, options, settings, calls, events, metrics, Python versions."""
    assert promises.gone(promises.recorded(), now) == []


def test_each_kind_of_promise_is_kept_track_of(now: promises.Promises) -> None:
    """A kind that comes out empty would watch nothing."""
    assert now.keys() == promises.recorded().keys()
    assert {kind: len(lines) for kind, lines in now.items() if len(lines) < 7} == {}
    assert "keyless.get_token" in now["python"]
    assert "token_replayed: 400 invalid_grant (huggingface)" in now["reasons"]
    assert "keyless token --resource VALUE" in now["command line"]
    assert "exchange_refused: exit 4" in now["error codes"]
    assert "public_url (needed)" in now["settings"]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("python", "keyless.get_token(resource=)"),
        ("reasons", "token_replayed: 400 invalid_grant (huggingface)"),
        ("error codes", "exchange_refused: exit 4"),
        ("command line", "keyless exec --env VALUE"),
        ("settings", "public_url (needed)"),
        ("metrics", "keyless_exchanges_total counter"),
        ("package", "Programming Language :: Python :: 3.11"),
    ],
)
def test_a_promise_that_is_gone_is_named(now: promises.Promises, kind: str, line: str) -> None:
    """Taken out or changed, it is the same: the line is not there any more."""
    without = {**now, kind: [kept for kept in now[kind] if kept != line]}

    assert line in promises.recorded()[kind]
    assert promises.gone(promises.recorded(), without) == [f"{kind}: {line}"]


def test_what_is_new_breaks_nothing(now: promises.Promises) -> None:
    """It is promised from the next release on; a newer schema takes no promise away."""
    schema = "opens databases up to schema"
    more = {**now, "package": [line for line in now["package"] if schema not in line] + [f"{schema} 9999", "extra new"]}

    assert promises.gone(promises.recorded(), more) == []


def test_the_tests_that_watch_a_promise_are_there() -> None:
    """The policy names files and tests; a promise that nobody watches is none."""
    text = (ROOT / "docs" / "versioning.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and " --- " not in line][1:]
    named = [re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row.split(" | ")[-1]) for row in rows]

    assert len(rows) > 10
    assert [row for row, tests in zip(rows, named, strict=True) if not tests] == []
    for file, name in (test for tests in named for test in tests):
        functions = [
            node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert not name or name in functions, f"{file}::{name}"


def test_every_version_of_the_changelog_is_in_the_upgrade_notes() -> None:
    """From the first that there was."""
    released = re.findall(r"^## \[(\d[\w.]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    notes = (ROOT / "docs" / "upgrading.md").read_text()

    assert released
    assert [version for version in released if f"## From {version} " not in notes] == []
