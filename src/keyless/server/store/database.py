"""Choosing the engine by where the database is; a driver is loaded only when it is the one."""

from __future__ import annotations

from pathlib import Path

from keyless.errors import ConfigurationError
from keyless.server.database_url import PostgresUrl, parse_location
from keyless.server.store.connection import Database
from keyless.server.store.sqlite import SqliteDatabase


def open_database(location: str | Path | PostgresUrl) -> Database:
    """Return the database at a path or `postgresql://` URL, without connecting to it.

    Raises:
        ConfigurationError: It is a URL of something else, or the driver is not installed.
    """
    where = parse_location(location)
    if isinstance(where, Path):
        return SqliteDatabase(where.absolute())
    try:
        from keyless.server.store.postgres import PostgresDatabase  # noqa: PLC0415 - a driver that most do without
    except ImportError as error:
        raise ConfigurationError(
            f"PostgreSQL needs a driver that is not installed: {error}", hint="pip install 'keyless[server,postgres]'"
        ) from error
    return PostgresDatabase(where)
