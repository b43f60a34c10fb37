"""SQLite, the one way we use it (D4)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from keyless.errors import ConfigurationError
from keyless.server.store.connection import Connection, Cursor, Parameters, TrustWatch
from keyless.server.store.grants import Grant, Refusal

BUSY_TIMEOUT_SECONDS: Final = 5.0  # longer than any transaction of ours, shorter than a client's patience
# The automatic checkpoint runs inside somebody's commit and lets the log begin anew; `tidy` leaves it little to copy.
AUTOCHECKPOINT_PAGES: Final = 8_000

# What a single member can be guilty of whatever the driver is: its values cannot be written down at all.
VALUE_ERRORS: Final[tuple[type[Exception], ...]] = (OverflowError, UnicodeError, TypeError, ValueError)


class SqliteDatabase:
    """One database file.

    Args:
        path: Absolute.
    """

    engine: Literal["sqlite"] = "sqlite"
    # A deferred transaction that reads first and writes later fails with SQLITE_BUSY without waiting.
    begin: str = "BEGIN IMMEDIATE"
    begin_exchange: str = "BEGIN IMMEDIATE"
    begin_snapshot: str = "BEGIN"
    row_lock: str = ""
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    member_errors: tuple[type[Exception], ...] = (
        sqlite3.IntegrityError,
        sqlite3.DataError,
        sqlite3.InterfaceError,
        sqlite3.ProgrammingError,
        *VALUE_ERRORS,
    )
    retryable_errors: tuple[type[Exception], ...] = ()  # `BEGIN IMMEDIATE` has waited already

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._tidied: int | None = None

    def __str__(self) -> str:
        return str(self.path)

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        """Return a connection in autocommit mode: every transaction is opened and closed by name.

        Full sync is the default because a claim on an id token that a power cut forgets is a replay (D14).
        """
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            # Without it, INSERT OR REPLACE would delete an audit row without asking the trigger.
            connection.execute("PRAGMA recursive_triggers=ON")
            connection.execute(f"PRAGMA wal_autocheckpoint={AUTOCHECKPOINT_PAGES}")
            if read_only:
                connection.execute("PRAGMA query_only=ON")
        except BaseException:  # the first statement is what finds out that a file is no database
            connection.close()
            raise
        return connection

    def open_exchange(self, connection: Connection, batch: Sequence[Grant | Refusal]) -> None:
        """Open the transaction of a batch; a statement costs no round trip here, so nothing is minted beforehand."""
        del batch
        connection.execute(self.begin_exchange)

    def insert_many(self, cursor: Cursor, table: str, columns: Sequence[str], rows: Sequence[Parameters]) -> None:
        """Insert rows with what `sqlite3` takes quickest: it asks `None` and `bytes` for an adapter each time."""
        named, values = [], []
        for name, column in zip(columns, zip(*rows, strict=True), strict=True):
            if column.count(None) != len(column):
                named.append(name)
                values.append(map(_lean, column) if isinstance(column[0], bytes) else column)
        cursor.executemany(_insert(table, tuple(named)), list(zip(*values, strict=True)))

    def write_mark(self, connection: Connection) -> object:
        """Return the version of the file as others made it, and how many rows this connection has changed."""
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101 - it is one of ours
        return connection.execute("PRAGMA data_version").fetchone()[0], connection.total_changes

    def watch(self, connection: Connection) -> TrustWatch:
        """Return what notices commits of other connections."""
        return _DataVersionWatch(connection)

    def ensure_schema(self) -> None:
        """Create the file when it is missing, and migrate it when it is not of this release's schema."""
        from keyless.server.store.schema import ensure_sqlite_schema  # noqa: PLC0415 - it imports this module

        create_file(self.path)
        ensure_sqlite_schema(self)

    def tidy(self) -> None:
        """Copy the write-ahead log into the database file, if anything was written since the last time."""
        written = _last_written(self.path)
        if written == self._tidied:
            return
        with closing(self.connect()) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._tidied = written


def _last_written(path: Path) -> int | None:
    try:
        return Path(f"{path}-wal").stat().st_mtime_ns
    except OSError:  # nothing was written yet
        return None


def _lean(value: object) -> object:
    return bytearray(value) if isinstance(value, bytes) else value


@lru_cache(maxsize=64)
def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names are ours


class _DataVersionWatch:
    """Ask SQLite whether any other connection committed since (`PRAGMA data_version`: no disk access)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._data_version = -1
        self._trust_version = -1

    def version(self) -> int:
        data_version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if data_version != self._data_version:
            found = self._connection.execute("SELECT value FROM meta WHERE key = 'trust_version'").fetchone()[0]
            # In this order: a commit in between is noticed at the next question.
            self._data_version, self._trust_version = data_version, found
        return self._trust_version

    def expire(self) -> None:
        self._data_version = -1

    @property
    def clock_skew_seconds(self) -> float | None:
        return 0.0  # one machine, one clock

    def measure_clock(self) -> float | None:
        return 0.0

    def close(self) -> None:
        """Nothing to stop."""


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
