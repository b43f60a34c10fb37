"""Bringing a database to the schema this release knows.

The version is read with one cheap query; Alembic and SQLAlchemy are imported only when there is something to do.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyless.errors import ConfigurationError, UnavailableError
from keyless.server.store.connection import Connection, Database
from keyless.server.store.sqlite import BUSY_TIMEOUT_SECONDS, SqliteDatabase

if TYPE_CHECKING:
    from keyless.server.store.postgres import PostgresDatabase

SCHEMA_VERSION: Final = "0014"
"""The newest revision in `migrations/versions`."""
UPGRADE_ATTEMPTS: Final = 60  # about two minutes

logger = logging.getLogger("keyless.server")


def schema_version(connection: Connection) -> str | None:
    """Return the database's schema version, or `None` for an empty database."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except Exception as error:
        # Of whichever driver: SQLite says it in words, PostgreSQL with undefined_table.
        if "no such table" in str(error) or getattr(error, "sqlstate", None) == "42P01":
            return None
        raise
    return None if row is None else str(row[0])


def ensure_sqlite_schema(database: SqliteDatabase) -> None:
    """Migrate a database file to `SCHEMA_VERSION`, when it is not there yet.

    Raises:
        ConfigurationError: The database was written by a newer release, or is not ours.
        UnavailableError: It is locked by somebody else for too long.
    """
    try:
        with closing(database.connect()) as connection:
            _enable_wal(connection)
            behind = _is_behind(database, connection)
        if behind:
            _upgrade(database)
    except sqlite3.OperationalError as error:
        raise UnavailableError(f"database {database} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"{database} is not a keyless database: {error}") from error


def ensure_postgres_schema(database: PostgresDatabase) -> None:
    """Migrate a PostgreSQL database to `SCHEMA_VERSION`, when it is not there yet.

    Raises:
        ConfigurationError: The database was written by a newer release, or this role may not change its schema.
        UnavailableError: It does not answer.
    """
    import psycopg  # noqa: PLC0415 - the driver is there: `database` is made of it

    try:
        with closing(database.connect()) as connection:
            behind = _is_behind(database, connection)
        if behind:
            _upgrade_online(database)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"database {database} has to be migrated to {SCHEMA_VERSION}, and this role may not do that: {error}",
            hint="Run `keyless db upgrade` with the URL of the role that owns the tables.",
        ) from None
    except psycopg.Error as error:
        raise UnavailableError(f"database {database} cannot be opened: {error}") from None


def _is_behind(database: Database, connection: Connection) -> bool:
    """Tell whether there is something to migrate.

    A database that a newer release migrated is used as it is, when that release says that ours can: it only added to
    it. So replicas of two releases run beside each other while one replaces the other.
    """
    version = schema_version(connection)
    if version is None or version <= SCHEMA_VERSION:
        return version != SCHEMA_VERSION
    found = connection.execute("SELECT value FROM meta WHERE key = 'oldest_schema'").fetchone()
    if found is None or int(found[0]) > int(SCHEMA_VERSION):
        raise ConfigurationError(
            f"database {database} has schema version {version}, newer than this release knows ({SCHEMA_VERSION})",
            hint="Start the release that wrote it, or restore a backup made before that upgrade.",
        )
    logger.warning("the database has schema %s of a newer release; this one (%s) can go on", version, SCHEMA_VERSION)
    return False


def _enable_wal(connection: Connection) -> None:
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


def _upgrade_online(database: PostgresDatabase) -> None:
    """Migrate beside a service that runs: who cannot have a table's lock soon gives up, and everybody else goes on."""
    import psycopg  # noqa: PLC0415 - the driver is there: `database` is made of it

    for attempt in range(1, UPGRADE_ATTEMPTS + 1):
        try:
            _upgrade(database)
            return
        except psycopg.errors.LockNotAvailable:
            if attempt == UPGRADE_ATTEMPTS:
                raise
            time.sleep(1)


def _upgrade(database: Database) -> None:
    import alembic.command  # noqa: PLC0415 - a quarter of a second that a migrated database does not need
    import alembic.config  # noqa: PLC0415 - as above
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - as above

    from keyless.server.store.engine import migration_engine  # noqa: PLC0415 - as above

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    engine = migration_engine(database)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, SCHEMA_VERSION)
    except DBAPIError as error:
        if error.orig is not None:
            raise error.orig from None
        raise
    finally:
        engine.dispose()
