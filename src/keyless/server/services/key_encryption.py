"""The key-encryption key: from the environment, from a file, or made beside the SQLite database (D21)."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError
from keyless.server.settings import Settings

KEY_BYTES: Final = 32  # AES-256
FILE_NAME: Final = "secret.key"
_HINT: Final = "Make one with: openssl rand -base64 32"


class KeyEncryptionKey:
    """Hold the 32 bytes; shown nowhere."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the key."""
        return self._value

    def __repr__(self) -> str:
        return "KeyEncryptionKey('***')"


def load_key_encryption_key(settings: Settings) -> KeyEncryptionKey:
    """Return the key-encryption key: `KEYLESS_KEY_ENCRYPTION_KEY`, else `key_encryption_key_file`, else `secret.key`.

    The last one is made on first use, beside the database file; beside PostgreSQL there is no such place.

    Raises:
        ConfigurationError: There is none, it has the wrong shape, or others may read or replace its file.
    """
    if settings.key_encryption_key is not None:
        return _parse(settings.key_encryption_key.reveal(), "key_encryption_key")
    if settings.key_encryption_key_file is not None:
        return _read(settings.key_encryption_key_file, "key_encryption_key_file")
    if not isinstance(settings.database, Path):
        raise ConfigurationError(
            "a PostgreSQL database needs a key-encryption key that is not in it",
            hint=f"Set KEYLESS_KEY_ENCRYPTION_KEY or key_encryption_key_file, the same on every replica. {_HINT}",
        )
    path = settings.database.absolute().with_name(FILE_NAME)
    if not path.exists():
        _create(path)
    return _read(path, FILE_NAME)


def _parse(text: str, setting: str) -> KeyEncryptionKey:
    compact = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        value = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != KEY_BYTES:
        raise ConfigurationError(f"{setting} is not {KEY_BYTES} bytes in base64", hint=_HINT)
    return KeyEncryptionKey(value)


def _read(path: Path, setting: str) -> KeyEncryptionKey:
    try:
        with path.open("rb") as file:
            _check_private(os.fstat(file.fileno()), path)
            text = file.read(1024).decode("ascii", "replace")
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from None
    return _parse(text, f"{setting} ({path})")


def _check_private(status: os.stat_result, path: Path) -> None:
    if not hasattr(os, "geteuid"):  # Windows: the mode says nothing there
        return
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a file")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(
            f"{path} may be read or changed by other users (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path} - and if others could read it, treat the signing keys as leaked.",
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise ConfigurationError(f"{path} belongs to another user (uid {status.st_uid})")


def _create(path: Path) -> None:
    """Write a new key under a temporary name and link it into place: whole or not at all, and never over another."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:  # another process was faster: its key counts
            return
        _sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)  # losing this name in a power cut would lose every signing key
    finally:
        os.close(handle)
