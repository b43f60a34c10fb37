"""Copying a whole database into an empty one, of the same engine or the other: for moving, backing up and restoring.

All tables, in the order of their foreign keys, in one transaction on either side: what is copied is the source as of
one moment, and the target has all of it or nothing. Afterwards rows are counted and the audit chains followed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from keyless.errors import ConfigurationError, UnavailableError
from keyless.server.audit.verify import ChainReport, verify_chain
from keyless.server.store.connection import Connection, Database
from keyless.server.store.schema import SCHEMA_VERSION, schema_version
from keyless.server.store.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from keyless.server.store.postgres import PostgresConnection, PostgresDatabase

CHUNK_ROWS: Final = 1_000
FILLED_BY_MIGRATIONS: Final = frozenset({"meta"})

Rows = Iterator[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class CopyReport:
    """Say what was copied: rows of each table, and what the target's audit chains look like."""

    rows: dict[str, int]
    chains: ChainReport


def copy_database(
    source: Database, target: Database, *, freeze: bool, progress: Callable[[str, int], object] = lambda *_: None
) -> CopyReport:
    """Copy everything into a migrated database that is empty.

    Args:
        source: Of this release's schema.
        target: Of this release's schema; its tables hold nothing but what migrations put there.
        freeze: Let nobody write to the source meanwhile; else the copy is of the moment it began.
        progress: Told of each table that is done, and how many rows it had.

    Raises:
        ConfigurationError: One of the two is of another schema, the target is not empty, or a value of the source
            cannot be stored in the target. The target is as it was.
        UnavailableError: One of the two does not answer, or the source is in use and `freeze` was asked for.
    """
    errors = (*source.errors, *target.errors)
    try:
        with closing(_open(source)) as reading, closing(_open(target)) as writing:
            reading.execute(source.begin if freeze else source.begin_snapshot)
            writing.execute(target.begin)
            tables = _tables()
            _check(reading, source)
            _check(writing, target)
            _check_empty(writing, target, tables)
            rows = {}
            for table, columns in tables.items():
                writing.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own tables
                found = _read(source, reading, table, columns)
                rows[table] = _write(target, writing, table, columns, found)
                if (stored := _count(writing, table)) != rows[table] or stored != _count(reading, table):
                    raise ConfigurationError(f"table {table}: {rows[table]} rows were read and {stored} are stored")
                progress(table, rows[table])
            _continue_numbering(target, writing, tables)
            chains = verify_chain(writing)
            if chains.events != rows["audit_event"]:
                raise ConfigurationError("the audit cannot be read back whole")
            writing.execute("COMMIT")
            reading.execute("ROLLBACK")
    except errors as error:
        raise UnavailableError(f"copying {source} to {target} failed: {error}") from error
    return CopyReport(rows, chains)


def _open(database: Database) -> Connection:
    if isinstance(database, SqliteDatabase):
        return database.connect()
    return _postgres(database).connect(patient=True)


def _postgres(database: Database) -> PostgresDatabase:
    from keyless.server.store.postgres import PostgresDatabase  # noqa: PLC0415 - a driver that most do without

    assert isinstance(database, PostgresDatabase)  # noqa: S101 - there are two engines
    return database


def _tables() -> dict[str, list[str]]:
    from keyless.server.store.tables import metadata  # noqa: PLC0415 - SQLAlchemy is loaded for this work only

    return {table.name: [column.name for column in table.columns] for table in metadata.sorted_tables}


def _check(connection: Connection, database: Database) -> None:
    if (version := schema_version(connection)) != SCHEMA_VERSION:
        raise ConfigurationError(
            f"database {database} has schema version {version}, and {SCHEMA_VERSION} is needed",
            hint="Run `keyless db upgrade` on it first.",
        )


def _check_empty(connection: Connection, database: Database, tables: Sequence[str] | dict[str, list[str]]) -> None:
    for table in tables:
        found = connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 - names of our own tables
        if found is not None and table not in FILLED_BY_MIGRATIONS:
            raise ConfigurationError(
                f"database {database} is not empty: table {table} has rows", hint="Name a new database to copy into."
            )


def _count(connection: Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own tables


def _read(database: Database, connection: Connection, table: str, columns: Sequence[str]) -> Rows:
    query = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - names of our own tables
    if table == "audit_event":
        query += " ORDER BY id"
    if isinstance(database, SqliteDatabase):
        return iter(connection.execute(query))
    return _copy_out(database, connection, table, columns, query)


def _copy_out(database: Database, connection: Connection, table: str, columns: Sequence[str], query: str) -> Rows:
    postgres, ours = _postgres(database), _as_postgres(connection)
    types = postgres.column_types(ours, table)
    with ours.driver().cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)".encode()) as copy:
        copy.set_types([types[name] for name in columns])
        yield from copy.rows()


def _write(database: Database, connection: Connection, table: str, columns: Sequence[str], rows: Rows) -> int:
    count = 0
    if isinstance(database, SqliteDatabase):
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        while chunk := list(islice(rows, CHUNK_ROWS)):
            connection.cursor().executemany(insert, chunk)
            count += len(chunk)
        return count
    postgres, ours = _postgres(database), _as_postgres(connection)
    types = postgres.column_types(ours, table)
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    with ours.driver().cursor().copy(statement.encode()) as copy:
        copy.set_types([types[name] for name in columns])
        for row in rows:
            for name, value in zip(columns, row, strict=True):
                if isinstance(value, str) and "\0" in value:
                    raise ConfigurationError(f"table {table}, column {name}: PostgreSQL stores no NUL character")
            copy.write_row(row)
            count += 1
    return count


def _continue_numbering(database: Database, connection: Connection, tables: dict[str, list[str]]) -> None:
    """Let the next row that the target numbers by itself come after the last one copied."""
    if isinstance(database, SqliteDatabase):
        return
    for table, columns in tables.items():
        for column in columns:
            (name,) = connection.execute("SELECT pg_get_serial_sequence(?, ?)", (table, column)).fetchone()
            if name is not None:
                connection.execute(
                    f"SELECT setval(?, coalesce(max({column}), 0) + 1, false) FROM {table}",  # noqa: S608 - our own
                    (name,),
                )


def _as_postgres(connection: Connection) -> PostgresConnection:
    from keyless.server.store.postgres import PostgresConnection  # noqa: PLC0415 - as above

    assert isinstance(connection, PostgresConnection)  # noqa: S101 - of that engine's database
    return connection


def copy_file(source: SqliteDatabase, target: SqliteDatabase) -> None:
    """Copy a database file as of now, while others go on writing, compacted; the target is missing or empty.

    Raises:
        ConfigurationError: The target is not empty.
        UnavailableError: The source is locked for too long, or there is no room.
    """
    try:
        with closing(source.connect()) as connection:
            connection.execute("VACUUM INTO ?", (str(target.path),))
    except sqlite3.OperationalError as error:
        if "already exists" in str(error):
            raise ConfigurationError(f"{target.path} exists already", hint="Name a new file.") from None
        raise UnavailableError(f"{source.path} cannot be copied to {target.path}: {error}") from error
