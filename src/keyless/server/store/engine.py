"""The SQLAlchemy engine that administration and migrations use; the exchange path does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from keyless.server.store.connection import connect

READ_ONLY = "keyless_read_only"
"""Execution option of a connection that will not write."""


def sqlite_engine(path: Path) -> Engine:
    """Return an engine whose transactions take the write lock at once.

    A deferred transaction that reads first and writes later fails with SQLITE_BUSY without waiting, so only
    connections with the `READ_ONLY` option begin deferred.
    """
    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options: Any = connection.get_execution_options()
        connection.exec_driver_sql("BEGIN" if options.get(READ_ONLY) else "BEGIN IMMEDIATE")

    return engine
