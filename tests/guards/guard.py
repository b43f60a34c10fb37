"""Take one guard out of a copy of the source and run the test that proves it."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "keyless"
TIMEOUT_SECONDS = 120.0
_FAILED = re.compile(r"\b[1-9][0-9]* failed\b")


@dataclass(frozen=True)
class Guard:
    """One check of the source, and the test that fails without it.

    Attributes:
        ids: What the check handles, as in docs/threat-model.md.
        file: Below src/keyless.
        old: Text of the source, found there exactly once.
        new: What stands there once the check is gone.
        test: Node of the test, below tests/.
    """

    ids: str
    file: str
    old: str
    new: str
    test: str


def take_out(guard: Guard, folder: Path) -> str | None:
    """Take a guard out and run its test; return what is wrong, or `None` when the test failed as it must.

    Args:
        guard: The guard.
        folder: An empty folder for the copy of the source.
    """
    original = (PACKAGE / guard.file).read_text(encoding="utf-8")
    if (count := original.count(guard.old)) != 1:
        return f"its text is found {count} times in {guard.file}: the guard moved, or is gone"
    changed = original.replace(guard.old, guard.new)
    try:
        ast.parse(changed)
    except SyntaxError as error:
        return f"what is left is not Python: {error}"
    shutil.copytree(PACKAGE, folder / "keyless", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "keyless" / guard.file).write_text(changed, encoding="utf-8")
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--tb=line", "-p", "no:randomly"),
            *("-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"),
            *("-k", "not postgresql", f"tests/{guard.test}"),  # one engine is enough, and the other takes long to start
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if finished.returncode == 1 and _FAILED.search(finished.stdout):
        return None
    if finished.returncode == 0:
        return f"the test passes without the guard: {guard.test}"
    return f"the test did not run (status {finished.returncode}): {finished.stdout[-800:]}{finished.stderr[-400:]}"
