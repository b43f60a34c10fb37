"""PostgreSQL, the one way we use it (D4): psycopg 3, synchronous, a connection for each job the store has.

A connection of ours outlives the server's: it connects when it is first used and again after it was lost. Each
statement has a time limit on both ends, so that a database that is slow, gone or cut off is an outage (503) within
seconds. Who failed to connect a moment ago does not try again at once, and nobody waits for that.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, Self

import psycopg
from psycopg.raw_cursor import RawCursor

from keyless.errors import ConfigurationError, UnavailableError
from keyless.server.database_url import PostgresUrl
from keyless.server.store.connection import Connection, Cursor, Parameters, TrustWatch
from keyless.server.store.grants import Grant, Refusal
from keyless.server.store.postgres_arrays import WRITERS
from keyless.server.store.postgres_locks import TRUST_LOCK
from keyless.server.store.postgres_mint import open_exchange
from keyless.server.store.postgres_watch import ListeningWatch
from keyless.server.store.sqlite import VALUE_ERRORS

MIN_SERVER_VERSION: Final = 150000
CONNECT_SECONDS: Final = 2  # the least that libpq takes
READ_SECONDS: Final = 1.0  # of a statement that an exchange waits for
WRITE_SECONDS: Final = 2.0  # of a statement of a transaction that writes
PATIENT_SECONDS: Final = 3600.0  # of maintenance: migrations, copies, checking the audit
IDLE_IN_TRANSACTION_SECONDS: Final = 5  # after which the server gives up a client that went away holding locks
LOCK_MILLISECONDS: Final = 2_000  # that maintenance waits for a lock: whoever asks after it waits behind it
SILENCE_SECONDS: Final = 0.8  # a connection that is lost after so long was not closed by the server: nobody answers
GRACE_SECONDS: Final = 0.5  # by which the server's own limit comes before ours: its errors say more
MIN_RETRY_SECONDS: Final = 0.05  # after the first failure to connect; doubles
MAX_RETRY_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


class PostgresDatabase:
    """One PostgreSQL database. Loads nothing and connects nowhere until it is asked to."""

    engine: Literal["postgresql"] = "postgresql"
    begin: str = f"BEGIN; SELECT pg_advisory_xact_lock({TRUST_LOCK})"
    begin_exchange: str = f"BEGIN; SELECT pg_advisory_xact_lock_shared({TRUST_LOCK})"
    begin_snapshot: str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    row_lock: str = "FOR NO KEY UPDATE"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    member_errors: tuple[type[Exception], ...] = (
        psycopg.IntegrityError,
        psycopg.DataError,
        psycopg.ProgrammingError,
        *VALUE_ERRORS,
    )
    retryable_errors: tuple[type[Exception], ...] = (
        psycopg.errors.DeadlockDetected,
        psycopg.errors.SerializationFailure,
    )

    def __init__(self, url: PostgresUrl) -> None:
        self.url: Final = url
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until = 0.0
        self._types: dict[str, dict[str, str]] = {}
        self.gone = False
        """Somebody looks for the server all the time and has not found it: nobody else has to wait for that."""
        self.watched = False
        """Somebody does look for it all the time, and will find it again."""

    def __str__(self) -> str:
        return str(self.url)

    def connect(self, *, read_only: bool = False, patient: bool = False) -> PostgresConnection:
        """Return a connection of ours; it reaches for the server when it is first used.

        Args:
            read_only: It cannot write, and its statements are given up soon.
            patient: Its statements may take long.
        """
        seconds = PATIENT_SECONDS if patient else READ_SECONDS if read_only else WRITE_SECONDS
        return PostgresConnection(self, read_only=read_only, seconds=seconds)

    def insert_many(self, cursor: Cursor, table: str, columns: Sequence[str], rows: Sequence[Parameters]) -> None:
        """Insert rows, as one statement."""
        marks = ", ".join("?" * len(columns))
        cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608 - ours

    def write_mark(self, connection: Connection) -> None:
        """Return nothing: other replicas write whenever they like."""

    def watch(self, connection: Connection) -> TrustWatch:
        """Return what notices changes of trust."""
        return ListeningWatch(self, connection)

    def ensure_schema(self) -> None:
        """Migrate the database when it is not of this release's schema."""
        from keyless.server.store.schema import ensure_postgres_schema  # noqa: PLC0415 - it imports this module

        ensure_postgres_schema(self)

    def tidy(self) -> None:
        """Leave it to the server: autovacuum and its checkpoints do it."""

    def open_exchange(self, connection: Connection, batch: Sequence[Grant | Refusal]) -> Mapping[str, int]:
        """Open the transaction of a batch, and mint in one statement what needs no further thought."""
        assert isinstance(connection, PostgresConnection)  # noqa: S101 - it is one of ours
        return open_exchange(connection, batch)

    def column_types(self, connection: PostgresConnection, table: str) -> Mapping[str, str]:
        """Return column -> type of a table, asked for once."""
        if (found := self._types.get(table)) is None:
            rows = connection.execute(_TYPES, (table,)).fetchall()
            found = self._types[table] = {str(name): str(kind) for name, kind in rows}
        return found

    def open_driver(self, *, read_only: bool, seconds: float, looking: bool = False) -> Driver:
        """Connect to the server.

        Args:
            read_only: The session cannot write.
            seconds: That a statement may take.
            looking: Try however short ago somebody failed; the caller is the one who looks for the server.

        Raises:
            UnavailableError: Somebody tried a moment ago and failed, or is looking and has not found it.
            psycopg.Error: It does not answer, or refuses us.
        """
        with self._lock:
            if not looking and (self.gone or time.monotonic() < self._closed_until):
                raise UnavailableError("the database does not answer right now", retry_after=2)
        began = time.monotonic()
        try:
            driver = Driver.open(self.url, read_only=read_only, seconds=seconds)
        except psycopg.OperationalError:
            if time.monotonic() - began > SILENCE_SECONDS:
                self.note_silence()
            with self._lock:
                wait = min(MAX_RETRY_SECONDS, MIN_RETRY_SECONDS * 2 ** min(self._failures, 10))
                self._failures += 1
                self._closed_until = time.monotonic() + wait
            raise
        with self._lock:
            self._failures = 0
            self._closed_until = 0.0
        driver.on_silence = self.note_silence
        return driver

    def note_silence(self) -> None:
        """Let nobody else wait: the server said nothing for longer than it may. Whoever watches it finds it again."""
        self.gone = self.gone or self.watched


_SYNC: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_STARTED: Final = "SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"


_TYPES: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped
"""


class Driver(psycopg.Connection[tuple[Any, ...]]):
    """A psycopg connection whose every wait ends."""

    seconds: float = WRITE_SECONDS
    backend: int = 0
    started_at: object = None
    on_silence: Callable[[], None] | None = None

    @classmethod
    def open(cls, url: PostgresUrl, *, read_only: bool, seconds: float) -> Self:
        """Connect and make the session as we want it.

        Raises:
            ConfigurationError: The URL cannot be understood, or the server is too old.
            psycopg.OperationalError: The server does not answer, or refuses us.
        """
        try:
            driver = cls.connect(
                url.reveal(),
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="keyless",
                keepalives_idle=3,
                keepalives_interval=1,
                keepalives_count=3,
                tcp_user_timeout=int((min(seconds, WRITE_SECONDS) + GRACE_SECONDS) * 1000),
                client_encoding="utf8",
            )
        except psycopg.ProgrammingError:
            raise ConfigurationError(f"database URL {url} cannot be understood") from None  # the message may quote it
        try:
            driver.seconds = seconds + GRACE_SECONDS
            if driver.info.server_version < MIN_SERVER_VERSION:
                raise ConfigurationError(
                    f"database {url} is PostgreSQL {driver.info.server_version // 10000}; 15 or newer is needed"
                )
            # `synchronous_commit = off` would let an answered token vanish with the power (D14); the stricter settings
            # of whoever has standbys stay as they are.
            idle_seconds = IDLE_IN_TRANSACTION_SECONDS if seconds < PATIENT_SECONDS else 0  # 0: no limit
            settings = (
                f"SET statement_timeout = {int(seconds * 1000)}",
                f"SET lock_timeout = {LOCK_MILLISECONDS if seconds == PATIENT_SECONDS else 0}",
                f"SET idle_in_transaction_session_timeout = '{idle_seconds}s'",
                "SET default_transaction_isolation = 'read committed'",
                f"SET default_transaction_read_only = {'on' if read_only else 'off'}",
            )
            cursor = driver.execute("; ".join((*settings, _SYNC, _STARTED)).encode())
            while cursor.nextset():
                pass
            row = cursor.fetchone()
            driver.backend = driver.info.backend_pid  # asked for now: a lost connection no longer knows it
            driver.started_at = None if row is None else row[0]
        except BaseException:
            driver.close()
            raise
        return driver

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server, but not longer than the time limit: a cut-off server says nothing at all."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval, self.seconds)
        except psycopg.OperationalError as error:
            took = time.monotonic() - began
            timed_out = took >= self.seconds
            # The kernel may give up before we do, and says so in another way.
            if self.on_silence is not None and (timed_out or (took > SILENCE_SECONDS and self.closed)):
                self.on_silence()
            if not timed_out:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError("the database did not answer in time") from error


class PostgresConnection:
    """A connection that survives the server's. Not thread-safe: its owner holds a lock."""

    def __init__(self, database: PostgresDatabase, *, read_only: bool, seconds: float) -> None:
        self._database = database
        self._read_only = read_only
        self._seconds = seconds
        self._driver: Driver | None = None
        self._closed = False
        self._lost: tuple[int, object] | None = None

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        driver = self._driver
        return driver is not None and not driver.closed and driver.info.transaction_status.value != 0

    def driver(self) -> Driver:
        """Return the connection to the server, made anew when it was lost.

        Raises:
            UnavailableError: The server was gone a moment ago.
            psycopg.Error: It does not answer.
        """
        if self._driver is not None and not self._driver.closed:
            return self._driver
        if self._closed:
            raise psycopg.InterfaceError("the connection is closed")
        driver = self._database.open_driver(read_only=self._read_only, seconds=self._seconds)
        try:
            self._make_sure_of_the_last(driver)
        except BaseException:
            driver.close()
            raise
        self._driver = driver
        return driver

    def cursor(self) -> PostgresCursor:
        """Return a new cursor."""
        return PostgresCursor(self)

    def execute(self, sql: str, parameters: Parameters = ()) -> PostgresCursor:
        """Run one statement on a new cursor."""
        return PostgresCursor(self).execute(sql, parameters)

    def close(self) -> None:
        """Close it. Idempotent."""
        self._closed = True
        if self._driver is not None:
            self._driver.close()

    def run(self, sql: str, parameters: Parameters = ()) -> RawCursor[tuple[Any, ...]]:
        """Run a statement; one that opens a transaction or only reads is sent again when the connection was lost."""
        for first in (True, False):
            fresh = self._driver is None or self._driver.closed
            driver = self.driver()
            idle = driver.info.transaction_status.value == 0
            try:
                cursor = RawCursor(driver)
                if parameters:
                    cursor.execute(numbered(sql), parameters)
                else:
                    cursor.execute(sql)
                if sql == "COMMIT" and cursor.statusmessage != "COMMIT":
                    # The server turns the COMMIT of a failed transaction into a ROLLBACK and calls that a success.
                    raise psycopg.OperationalError("the transaction was not committed")
                return cursor
            except psycopg.OperationalError:
                if not driver.closed:
                    raise
                self._remember(driver)
                if fresh or not first or not idle or not sql.lstrip().startswith(("SELECT", "BEGIN")):
                    raise
        raise AssertionError("unreachable")

    def together(self, *statements: tuple[str, Parameters]) -> list[tuple[Any, ...]]:
        """Run statements with `$1` parameters in one round trip; return the rows of the last one.

        The first one opens a transaction; when one fails, those after it are not run.
        """
        driver = self.driver()
        try:
            with driver.pipeline():
                cursors = [RawCursor(driver) for _ in statements]
                for cursor, (sql, parameters) in zip(cursors, statements, strict=True):
                    cursor.execute(sql.encode(), parameters, prepare=True)
            return cursors[-1].fetchall()
        except psycopg.OperationalError:
            self.note_loss()
            raise

    def insert_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """Run an `INSERT INTO t (a, b) VALUES (?, ?)` for many rows as one statement."""
        found = _INSERT.fullmatch(sql.strip())
        assert found is not None  # noqa: S101 - asked by who has looked
        table, columns = found["table"], [name.strip() for name in found["columns"].split(",")]
        types = self._database.column_types(self, table)
        arrays = ", ".join(f"${number}::{types[name]}[]" for number, name in enumerate(columns, 1))
        values = [WRITERS[types[name]](column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)]
        statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"  # noqa: S608 - ours
        driver = self.driver()
        try:
            RawCursor(driver).execute(statement.encode(), values, prepare=True)
        except psycopg.OperationalError:
            self.note_loss()
            raise

    def note_loss(self) -> None:
        """Remember what must be made sure of, after a driver call outside `run` failed."""
        if self._driver is not None and self._driver.closed:
            self._remember(self._driver)

    def _remember(self, driver: Driver) -> None:
        if driver.started_at is not None:
            self._lost = (driver.backend, driver.started_at)
        self._driver = None

    def _make_sure_of_the_last(self, driver: Driver) -> None:
        """End the server's side of the connection that was lost: what it has not committed by then it never will (D14).

        Without it, a commit that is still on its way could be overtaken by the search for its rows.
        """
        if self._lost is None:
            return
        # The start tells our process from another one that got its number. No rights are needed: it is our own role's.
        ended = RawCursor(driver).execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
            self._lost,
        )
        if any(row == (False,) for row in ended.fetchall()):
            raise psycopg.OperationalError("the last connection's transaction has not ended yet")
        self._lost = None


class PostgresCursor:
    """The part of a DB-API cursor that the store uses."""

    def __init__(self, connection: PostgresConnection) -> None:
        self.connection: Final = connection
        self._cursor: RawCursor[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, sql: str, parameters: Parameters = ()) -> Self:
        """Run one statement."""
        self._cursor = self.connection.run(sql, parameters)
        self.rowcount = self._cursor.rowcount
        return self

    def executemany(self, sql: str, parameters: Sequence[Parameters]) -> Self:
        """Run one statement for each member of `parameters`, sent together."""
        if len(parameters) > 1 and _INSERT.fullmatch(sql.strip()):
            self.connection.insert_many(sql, parameters)
            self.rowcount = len(parameters)
        elif parameters:
            driver = self.connection.driver()
            try:
                self._cursor = RawCursor(driver)
                self._cursor.executemany(numbered(sql), parameters)
            except psycopg.OperationalError:
                self.connection.note_loss()
                raise
            self.rowcount = self._cursor.rowcount
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row, or `None`."""
        return None if self._cursor is None else self._cursor.fetchone()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the remaining rows."""
        return [] if self._cursor is None else self._cursor.fetchall()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(() if self._cursor is None else self._cursor)


_INSERT: Final = re.compile(r"INSERT INTO (?P<table>\w+) \((?P<columns>[\w, ]+)\) VALUES \([?, ]+\)")


@lru_cache(maxsize=512)
def numbered(sql: str) -> bytes:
    """Return a statement with `$1`, `$2`, … for its question marks; ours have none in them for anything else."""
    first, *rest = sql.split("?")
    return (first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))).encode()
