"""The SQLAlchemy engines that administration and migrations use; the exchange path does not."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from keyless.server.store.connection import Database
from keyless.server.store.postgres_locks import MIGRATION_LOCK, TRUST_LOCK
from keyless.server.store.sqlite import SqliteDatabase

READ_ONLY = "keyless_read_only"
"""Execution option of a connection that will not write."""


def admin_engine(database: Database) -> Engine:
    """Return an engine whose transactions are alone among those that write (see `Database.begin`).

    A deferred transaction that reads first and writes later fails with SQLITE_BUSY without waiting, so only
    connections with the `READ_ONLY` option begin deferred.
    """
    return _engine(database, lock=TRUST_LOCK, patient=False)


def migration_engine(database: Database) -> Engine:
    """Return an engine for migrations: one process migrates, the others wait and then have nothing to do."""
    return _engine(database, lock=MIGRATION_LOCK, patient=True)


def _engine(database: Database, *, lock: int, patient: bool) -> Engine:
    if isinstance(database, SqliteDatabase):
        engine = create_engine("sqlite://", creator=database.connect, poolclass=NullPool)
        take = "BEGIN IMMEDIATE"
    else:
        engine = _postgres_engine(database, patient=patient)
        take = f"SELECT pg_advisory_xact_lock({lock})"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options: Any = connection.get_execution_options()
        if not options.get(READ_ONLY):
            connection.exec_driver_sql(take)
        elif isinstance(database, SqliteDatabase):
            connection.exec_driver_sql("BEGIN")

    return engine


def _postgres_engine(database: Database, *, patient: bool) -> Engine:
    from keyless.server.store.postgres import PATIENT_SECONDS, WRITE_SECONDS, PostgresDatabase  # noqa: PLC0415 - driver

    assert isinstance(database, PostgresDatabase)  # noqa: S101 - there are two engines

    def creator() -> Any:
        driver = database.open_driver(read_only=False, seconds=PATIENT_SECONDS if patient else WRITE_SECONDS)
        driver.autocommit = False
        return driver

    # Asked whether it is alive before each use: a server that was restarted meanwhile is nobody's trouble.
    return create_engine(
        "postgresql+psycopg://",
        creator=creator,
        pool_size=2,
        max_overflow=8,
        pool_timeout=WRITE_SECONDS,
        pool_pre_ping=True,
        pool_recycle=300,
    )
