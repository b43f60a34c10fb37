"""The page about providers is what the code says and does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keyless.providers.order import NAMES, ORDER
from keyless.providers.reference import REFERENCE
from keyless.providers.variables import ROWS

ROOT = Path(__file__).parent.parent.parent


def test_the_page_says_what_the_providers_say() -> None:
    """Issue 4: docs/providers.md is generated from the code and checked."""
    done = subprocess.run(
        [sys.executable, "scripts/providers_doc.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "src")},
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_provider_has_its_place() -> None:
    """In the table, or with a section of its own."""
    assert set(REFERENCE) | set(ROWS) == set(NAMES)
    assert set(REFERENCE).isdisjoint(ROWS)


@pytest.mark.parametrize("entry", [entry for entry in ORDER if entry.NAME in REFERENCE], ids=lambda entry: entry.NAME)
def test_every_variable_of_a_provider_is_on_the_page(entry: object) -> None:
    """Nothing is read that nobody is told about."""
    page = (ROOT / "docs" / "providers.md").read_text()
    variables = getattr(entry.load(), "VARIABLES", ()) if isinstance(entry, type(ORDER[0])) else ()

    assert [name for name in variables if name not in page] == []
