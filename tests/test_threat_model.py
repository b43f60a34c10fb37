"""docs/threat-model.md says what the tests say, and leaves nothing out."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.guards.guards import GUARDS

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "threat-model.md"
# What nobody else handled when this was planned.
MUST_BE_PROVEN = {"T12", "T37", "T50", "T53", "T76", "T117", "T118"}
_ROW = re.compile(r"\| (?P<id>[A-Z]\S+) \| (?P<what>.+?) \| (?P<state>[a-z ]+) \| (?P<where>.+) \|")
_ADVISORY = r"CVE-\d+-\d+|GHSA(?:-\w{4}){3}|HCSEC-\d+-\d+|TOB-\w+-\d+"
_ID = re.compile(rf"(?<![\w-])(?:[VKM]\d\d|M00b|S0\d|T\d{{2,3}}|{_ADVISORY})(?![\w-])")
_SPAN = re.compile(r"(?<![\w-])([VKMST])(\d\d)-\1(\d\d)(?![\w-])")


@dataclass(frozen=True)
class Row:
    """One line of the page."""

    what: str
    state: str
    where: str


def rows() -> Mapping[str, Row]:
    """Return the page's lines by id; one that stands twice is refused."""
    found: dict[str, Row] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if (match := _ROW.fullmatch(line)) and match["id"] != "id":
            assert match["id"] not in found
            found[match["id"]] = Row(match["what"], match["state"], match["where"].strip("`"))
    return found


def expected() -> list[str]:
    """Return every id that must be on the page."""
    lines = (TESTS / "threats.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@cache
def docstrings(file: str) -> Mapping[str, str]:
    """Return the docstring of each test function of a file below tests/."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return {node.name: ast.get_docstring(node) or "" for node in found}


def cited(text: str) -> set[str]:
    """Return the ids that a docstring names, `V02-V14` meaning all of them."""
    spans = _SPAN.findall(text)
    between = {f"{kind}{n:02d}" for kind, first, last in spans for n in range(int(first), int(last) + 1)}
    return {*_ID.findall(text), *between}


ROWS = rows()


def test_every_rule_and_threat_is_on_the_page() -> None:
    """And nothing that nobody planned for."""
    assert list(ROWS) == expected()
    assert len(expected()) == len(set(expected()))


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_proven_or_says_why_not(name: str) -> None:
    """The named test is there and cites the id; the rest says why there is nothing to prove."""
    row = ROWS[name]
    if row.state == "proven":
        file, _, test = row.where.partition("::")
        assert test in docstrings(file)
        assert name in cited(docstrings(file)[test])
    else:
        assert row.state == "does not apply"
        assert len(row.where.split()) >= 6
    assert name not in MUST_BE_PROVEN or row.state == "proven"


def test_no_test_cites_what_is_not_on_the_page() -> None:
    """A slip of the pen in a docstring is a promise that nobody can look up."""
    unknown = {
        (name, file.name)
        for file in TESTS.rglob("test_*.py")
        for text in docstrings(str(file.relative_to(TESTS))).values()
        for name in cited(text)
        if name not in ROWS
    }

    assert unknown == set()


def test_a_proof_by_removal_is_the_pages_own() -> None:
    """Of the guards that are taken out, most prove the very row with the very test."""
    proven = {(name, row.where) for name, row in ROWS.items() if row.state == "proven"}
    removed = {(name, guard.test) for guard in GUARDS for name in cited(guard.ids)}

    assert len(proven & removed) >= 80
