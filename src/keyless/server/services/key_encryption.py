"""The key-encryption key: from the environment, from a file, or made beside the SQLite database (D21)."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError
from keyless.server.services.private_file import create_private, read_private
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
        create_private(path, base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
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
    content = read_private(path, setting, hint="treat the signing keys as leaked")
    return _parse(content.decode("ascii", "replace"), f"{setting} ({path})")
