"""File contents: written once to a temporary file while they arrive, then named by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyless.hub.errors import too_large

MAX_FILE_BYTES: Final = 100_000_000  # D25: the hub takes contents inside the commit, which costs the client 4x memory
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BlobId:
    """Name a content: its size in bytes, the id git gives it, and its SHA-256."""

    size: int
    git_sha1: str
    sha256: str


def identify(path: Path) -> BlobId:
    """Compute the names of a file's content, reading it once."""
    size = path.stat().st_size
    sha256 = hashlib.sha256()
    # The id of a git object is a SHA-1 by definition (git, `hash-object`); nothing here relies on its strength.
    git_sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            sha256.update(chunk)
            git_sha1.update(chunk)
    return BlobId(size, git_sha1.hexdigest(), sha256.hexdigest())


class StagedBlob:
    """Hold a content that is still arriving, in a file that no commit names yet.

    Args:
        directory: Where temporary files live; on the same file system as the repositories.
    """

    def __init__(self, directory: Path) -> None:
        self.path: Final = directory / secrets.token_hex(16)
        self._file: Final = self.path.open("xb")
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            HubError: 413 once the content is longer than 100 MB.
        """
        self._size += len(data)
        if self._size > MAX_FILE_BYTES:
            raise file_too_large()
        self._file.write(data)

    def finish(self) -> BlobId:
        """Make the content durable and return its names."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return identify(self.path)

    def discard(self) -> None:
        """Remove the temporary file; harmless after the content was kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def file_too_large(path: str | None = None) -> Exception:
    """Return the answer for a file above the limit."""
    name = "A file" if path is None else f"The file {path!a}"
    return too_large(f"{name} is larger than {MAX_FILE_BYTES // 1_000_000} MB, the most this hub stores per file")
