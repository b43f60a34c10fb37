"""What the training run made: a model and a dataset, and whether two folders hold the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Final

WEIGHTS_BYTES: Final = 11 * 1024 * 1024  # more than 10 MB, so that no client treats it as a text
ROWS: Final = 2_000

MODEL_CARD: Final = """\
---
license: apache-2.0
library_name: none
---
# An awesome model

Trained by a CI job that had no secret.
"""
DATASET_CARD: Final = """\
---
license: apache-2.0
---
# Awesome data

What the model was trained on, published by the same job.
"""
_LOCAL_FOLDERS: Final = frozenset({".cache"})  # `hf download` keeps its own notes below the target folder


def write_model(folder: Path) -> None:
    """Write a model card, a configuration and weights of random bytes."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(MODEL_CARD, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"layers": 2, "name": "awesome"}, indent=2), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(os.urandom(WEIGHTS_BYTES))


def write_dataset(folder: Path) -> None:
    """Write a dataset card and rows."""
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "README.md").write_text(DATASET_CARD, encoding="utf-8")
    rows = (json.dumps({"id": number, "text": f"row {number}"}) for number in range(ROWS))
    (data / "train.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its relative name."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in _LOCAL_FOLDERS:
            with path.open("rb") as file:
                found[name.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def differences(original: Path, copy: Path) -> list[str]:
    """Say in which files a copy differs from the original, or nothing."""
    left, right = digests(original), digests(copy)
    missing = [f"{name} is missing" for name in left.keys() - right.keys()]
    added = [f"{name} was never uploaded" for name in right.keys() - left.keys() if name != ".gitattributes"]
    changed = [f"{name} has other bytes" for name in left.keys() & right.keys() if left[name] != right[name]]
    return sorted([*missing, *added, *changed])


def total_bytes(folder: Path) -> int:
    """Return the size of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
