"""Files with a key in them: readable by their owner only, made whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError

MAX_BYTES: Final = 16 * 1024  # no key is larger


def read_private(path: Path, setting: str, *, hint: str) -> bytes:
    """Return what a private file holds.

    Args:
        path: The file.
        setting: What named it, for the error.
        hint: What to do when others could read it, after the `chmod`.

    Raises:
        ConfigurationError: It cannot be read, or others may read or replace it.
    """
    try:
        with path.open("rb") as file:
            _check_private(os.fstat(file.fileno()), path, hint)
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from None


def create_private(path: Path, content: bytes) -> None:
    """Write a new file under a temporary name and link it into place: whole or not at all, and never over another.

    Raises:
        ConfigurationError: It cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:  # another process was faster: its key counts
            return
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_private(status: os.stat_result, path: Path, hint: str) -> None:
    if not hasattr(os, "geteuid"):  # Windows: the mode says nothing there
        return
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a file")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(
            f"{path} may be read or changed by other users (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path} - and if others could read it, {hint}.",
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise ConfigurationError(f"{path} belongs to another user (uid {status.st_uid})")
