"""Backups are SQLite files of our own schema, whatever the engine they were taken from; they can be served as they are.

The key-encryption key is not in them: without it the signing keys in a backup are worth nothing, to anybody (D21).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from keyless.errors import ConfigurationError
from keyless.server.audit.verify import ChainReport, verify_chain
from keyless.server.store.connection import Database
from keyless.server.store.copying import copy_database, copy_file
from keyless.server.store.sqlite import SqliteDatabase, create_file


def back_up(database: Database, target: Path) -> ChainReport:
    """Write all of a database, as of now, to a new file that its owner alone can read; nobody has to stop for it.

    Returns:
        What the audit chains in the backup look like.

    Raises:
        ConfigurationError: The file exists, or cannot be created.
        UnavailableError: The database does not answer, or there is no room.
    """
    if target.exists():
        raise ConfigurationError(f"{target} exists already", hint="A backup overwrites nothing: name a new file.")
    with _beside(target) as partial:
        if isinstance(database, SqliteDatabase):
            copy_file(database, partial)
        else:
            partial.ensure_schema()
            copy_database(database, partial, freeze=False)
        with closing(partial.connect()) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, nothing beside it
            report = verify_chain(connection)
        _put_in_place(partial.path, target)
    return report


def restore(backup: Path, database: Database) -> ChainReport:
    """Put a backup into a database that is new or empty, brought to this release's schema; the backup stays as it is.

    Returns:
        What the audit chains in the database look like.

    Raises:
        ConfigurationError: The backup is not one of ours, or of a newer release; the database is not empty.
        UnavailableError: The database does not answer, or there is no room.
    """
    if not backup.is_file():
        raise ConfigurationError(f"there is no backup {backup}")
    if isinstance(database, SqliteDatabase):
        if database.path.exists():
            raise ConfigurationError(
                f"database {database} exists already", hint="Move it away first: a restore overwrites nothing."
            )
        with _beside(database.path) as partial:
            copy_file(SqliteDatabase(backup), partial)
            partial.ensure_schema()
            with closing(partial.connect()) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                report = verify_chain(connection)
            _put_in_place(partial.path, database.path)
        return report
    database.ensure_schema()
    with tempfile.TemporaryDirectory(prefix="keyless-restore-") as folder:
        partial = SqliteDatabase(Path(folder) / "keyless.db")
        create_file(partial.path)
        copy_file(SqliteDatabase(backup), partial)
        partial.ensure_schema()
        return copy_database(partial, database, freeze=True).chains


@contextmanager
def _beside(target: Path) -> Iterator[SqliteDatabase]:
    """Give an empty private file in the target's folder, gone afterwards unless it was put in place."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    create_file(partial)
    try:
        yield SqliteDatabase(partial.absolute())
    finally:
        for name in (partial.name, f"{partial.name}-wal", f"{partial.name}-shm"):
            partial.with_name(name).unlink(missing_ok=True)


def _put_in_place(partial: Path, target: Path) -> None:
    handle = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        target.hardlink_to(partial)  # never over another file
    except FileExistsError:
        raise ConfigurationError(f"{target} exists already") from None
