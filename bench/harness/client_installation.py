"""An environment as a CI job has it after `pip install keyless`: the client from a wheel, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.children import ROOT, run


def install_client(directory: Path) -> Path:
    """Build this checkout's wheel, install it alone and compiled, and return the environment's `bin` directory.

    The development environment will not do: each `.pth` file of its tools costs every Python process a little.

    Raises:
        Failed: Building or installing failed.
    """
    wheels, client = directory / "wheels", directory / "client"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT])
    run([sys.executable, "-m", "venv", "--without-pip", client])
    python = client / "bin" / "python"
    (wheel,) = wheels.glob("keyless-*.whl")
    run([*pip, "--python", python, "install", "--no-index", "--no-deps", wheel])
    return client / "bin"


def loads_regular_expressions(entry_point: Path) -> bool:
    """Tell whether an installed console script imports `re`, as installers before 2025 wrote it: that is 7 ms."""
    return "import re" in entry_point.read_text(errors="replace")
