"""Bringing a database to the schema this release knows.

The version is read with one cheap query; Alembic and SQLAlchemy are imported only when there is something to do.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError, UnavailableError
from keyless.server.store.connection import BUSY_TIMEOUT_SECONDS, connect

SCHEMA_VERSION: Final = "0010"
"""The newest revision in `migrations/versions`."""


def schema_version(connection: sqlite3.Connection) -> str | None:
    """Return the database's schema version, or `None` for an empty database."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return None if row is None else str(row[0])


def ensure_schema(path: Path) -> None:
    """Migrate the database at `path` to `SCHEMA_VERSION`, when it is not there yet.

    Raises:
        ConfigurationError: The database was written by a newer release, or is not ours.
        UnavailableError: It is locked by somebody else for too long.
    """
    try:
        connection = connect(path)
        try:
            _enable_wal(connection)
            version = schema_version(connection)
        finally:
            connection.close()
        if version == SCHEMA_VERSION:
            return
        if version is not None and version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"database {path} has schema version {version}, newer than this release knows ({SCHEMA_VERSION})",
                hint="Start the release that wrote it, or restore a backup made before that upgrade.",
            )
        _upgrade(path)
    except sqlite3.OperationalError as error:
        raise UnavailableError(f"database {path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"{path} is not a keyless database: {error}") from error


def _enable_wal(connection: sqlite3.Connection) -> None:
    # The switch needs the database for itself and does not wait for the busy time-out on each of its locks.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise ConfigurationError(
                f"the database's file system cannot do write-ahead logging (journal mode stays {mode!r})",
                hint="Put the database on a local disk.",
            )
        return


def _upgrade(path: Path) -> None:
    import alembic.command  # noqa: PLC0415 - a quarter of a second that a migrated database does not need
    import alembic.config  # noqa: PLC0415 - as above

    from keyless.server.store.engine import sqlite_engine  # noqa: PLC0415 - as above

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    engine = sqlite_engine(path)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, SCHEMA_VERSION)
    finally:
        engine.dispose()
