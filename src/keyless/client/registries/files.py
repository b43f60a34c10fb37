"""Files that hold a token, for tools that read one."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(folder: str, name: str, content: str) -> str:
    """Write a file that only its owner can read and return its path."""
    path = Path(folder) / name
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    return str(path)
