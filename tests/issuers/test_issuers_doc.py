"""The page about the kinds of issuers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_page_says_what_the_profiles_say() -> None:
    """V14: docs/issuers.md is written by a program."""
    done = subprocess.run(
        [sys.executable, "scripts/issuers_doc.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
