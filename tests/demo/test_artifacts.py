"""The comparison of two folders sees a single changed bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from keyless.demo.artifacts import WEIGHTS_BYTES, differences, write_dataset, write_model


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset folder."""
    write_dataset(tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    """The same, copied, with the notes that `hf download` leaves."""
    target = tmp_path / "copy"
    shutil.copytree(dataset, target)
    (target / ".cache" / "huggingface").mkdir(parents=True)
    (target / ".cache" / "huggingface" / "CACHEDIR.TAG").write_text("notes")
    return target


def test_a_copy_does_not_differ(dataset: Path, copy: Path) -> None:
    """The client's own notes are not content."""
    assert differences(dataset, copy) == []


def test_one_flipped_bit_differs(dataset: Path, copy: Path) -> None:
    """Byte for byte means byte for byte."""
    rows = copy / "data" / "train.jsonl"
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)

    assert differences(dataset, copy) == ["data/train.jsonl has other bytes"]


def test_a_missing_and_an_added_file_differ(dataset: Path, copy: Path) -> None:
    """Names count, too."""
    (copy / "README.md").rename(copy / "OTHER.md")

    assert differences(dataset, copy) == ["OTHER.md was never uploaded", "README.md is missing"]


def test_the_model_has_a_file_above_ten_megabytes(tmp_path: Path) -> None:
    """The demo uploads more than a text file."""
    write_model(tmp_path / "model")

    assert (tmp_path / "model" / "model.safetensors").stat().st_size == WEIGHTS_BYTES > 10_000_000
