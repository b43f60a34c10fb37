"""Opening SQLite the one way we use it (D4)."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError

BUSY_TIMEOUT_SECONDS: Final = 5.0  # longer than any transaction of ours, shorter than a client's patience
# The automatic checkpoint runs inside somebody's commit; `Store.checkpoint` does it aside, this is the safety net.
AUTOCHECKPOINT_PAGES: Final = 8_000


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode: every transaction is opened and closed by name.

    Full sync is the default because a claim on an id token that a power cut forgets is a replay (D14).
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # Without it, INSERT OR REPLACE would delete an audit row without asking the trigger.
        connection.execute("PRAGMA recursive_triggers=ON")
        connection.execute(f"PRAGMA wal_autocheckpoint={AUTOCHECKPOINT_PAGES}")
    except BaseException:  # the first statement is what finds out that a file is no database
        connection.close()
        raise
    return connection


def create_file(path: Path) -> None:
    """Create the database file, readable by its owner only; leave an existing one alone.

    SQLite gives its `-wal` and `-shm` files the same mode.

    Raises:
        ConfigurationError: The directory does not exist, or the file cannot be created or is no file.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"database {path}: its directory does not exist", hint=f"Create it: mkdir -p {path.parent}"
        )
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise ConfigurationError(f"database {path} is not a file") from None
    except OSError as error:
        raise ConfigurationError(f"database {path} cannot be created: {error.strerror}") from error
