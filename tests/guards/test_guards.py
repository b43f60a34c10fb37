"""The list of guards fits the source and the tests; taking them out takes minutes and is `make guards`."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.guards.guard import PACKAGE, ROOT, Guard, take_out
from tests.guards.guards import GUARDS

LEAST = 60  # the promise is 40; fewer than there were would be a loss


@cache
def functions_of(file: str) -> frozenset[str]:
    """Return the names of the test functions of a file below tests/."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("guard", GUARDS, ids=[f"{number} {guard.ids}" for number, guard in enumerate(GUARDS)])
def test_a_guard_is_there_and_its_test_too(guard: Guard) -> None:
    """A guard that moved has to be named anew: its proof must not get lost with it."""
    assert (PACKAGE / guard.file).read_text(encoding="utf-8").count(guard.old) == 1
    assert guard.old != guard.new
    file, _, test = guard.test.partition("::")
    assert test in functions_of(file)


def test_there_are_enough_guards() -> None:
    """And none twice."""
    assert len({(guard.file, guard.old, guard.new) for guard in GUARDS}) == len(GUARDS) >= LEAST


def test_a_guard_whose_removal_changes_nothing_is_told(tmp_path: Path) -> None:
    """The proof can fail: an untouched copy passes, a text that is not there is no removal."""
    guard = Guard("V02", "jose/compact.py", "MAX_TOKEN_CHARS: Final = 32", "MAX_TOKEN_CHARS: Final = 32",
                  "jose/test_jwk.py::test_sixty_four_keys_are_a_set")  # fmt: skip
    moved = Guard("V02", "jose/compact.py", "no such text", "", guard.test)
    no_test = Guard("V02", guard.file, guard.old, guard.new, "jose/test_compact.py::test_no_such_test")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert "passes without the guard" in str(take_out(guard, tmp_path / "a"))
    assert "found 0 times" in str(take_out(moved, tmp_path))
    assert "did not run" in str(take_out(no_test, tmp_path / "b"))
