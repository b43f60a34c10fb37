"""What the store asks of a database, whichever engine is behind it (D4).

There is one set of SQL texts, written so that both engines take them: `?` stands for a parameter, flags are 0 and 1,
times are Unix seconds. What the engines do differently - how a transaction begins, what their errors mean, how a change
of trust is noticed - is the `Database`'s to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from keyless.server.store.grants import Grant, Refusal

Parameters = Sequence[Any]


class Cursor(Protocol):
    """The part of a DB-API cursor that is used; `sqlite3.Cursor` is one."""

    @property
    def connection(self) -> Connection:
        """Return the connection it belongs to."""

    @property
    def rowcount(self) -> int:
        """Return how many rows the last statement changed."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Sequence[Parameters], /) -> Cursor:
        """Run one statement for each member of `parameters`."""

    def fetchone(self) -> Any:
        """Return the next row, or `None`."""

    def fetchall(self) -> list[Any]:
        """Return the remaining rows."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the remaining rows."""


class Connection(Protocol):
    """The part of a DB-API connection that is used; `sqlite3.Connection` is one.

    It is in autocommit mode: a transaction is opened by one of the `Database`'s texts and closed by name.
    """

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""

    def cursor(self) -> Cursor:
        """Return a new cursor."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Cursor:
        """Run one statement on a new cursor."""

    def close(self) -> None:
        """Close it. Idempotent."""


class TrustWatch(Protocol):
    """Tells how new a snapshot of trust has to be."""

    def version(self) -> int:
        """Return a number that grows with every change of trust or keys, by whatever process."""

    def expire(self) -> None:
        """Make the next `version` ask the database: something shows that trust has changed."""

    @property
    def clock_skew_seconds(self) -> float | None:
        """Return by how much this machine's clock is ahead of the database's, as of the last seconds, if known."""

    def measure_clock(self) -> float | None:
        """Compare the clocks now and return the difference, `None` when the answer came too slowly to tell."""

    def close(self) -> None:
        """Stop watching. Idempotent."""


class Database(Protocol):
    """One database of one engine."""

    @property
    def engine(self) -> Literal["sqlite", "postgresql"]:
        """Return which engine it is."""

    @property
    def begin(self) -> str:
        """Return the text that opens a transaction which writes, beside which no other writes what it reads.

        On SQLite it takes the one write lock; on PostgreSQL it waits for exchanges under way and keeps new ones
        waiting, so that a change of trust is exact (D16).
        """

    @property
    def begin_exchange(self) -> str:
        """Return the text that opens a transaction of exchanges: beside others of its kind, never beside `begin`."""

    @property
    def begin_snapshot(self) -> str:
        """Return the text that opens a transaction which only reads, and all of it as of one moment."""

    @property
    def row_lock(self) -> str:
        """Return what a SELECT ends with to keep others from the row it reads; empty where only one can write."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver raises."""

    @property
    def member_errors(self) -> tuple[type[Exception], ...]:
        """Return what a single member of a batch can be guilty of; everything else is an outage for the whole batch."""

    @property
    def retryable_errors(self) -> tuple[type[Exception], ...]:
        """Return what says that the same transaction may well succeed when it is run again."""

    def connect(self, *, read_only: bool = False) -> Connection:
        """Return a new connection."""

    def open_exchange(self, connection: Connection, batch: Sequence[Grant | Refusal]) -> Mapping[str, int] | None:
        """Open the transaction of a batch; return token id -> use of the members that were minted with that.

        `None` when minting beforehand saves nothing on this engine.
        """

    def insert_many(self, cursor: Cursor, table: str, columns: Sequence[str], rows: Sequence[Parameters]) -> None:
        """Insert rows, at least one, in their order; `rows` have a value for each of `columns`."""

    def write_mark(self, connection: Connection) -> object:
        """Return what is the same again only if nobody else wrote to the database meanwhile.

        Asked inside a transaction that keeps everybody else from writing. `None` where others may write at any time.
        """

    def watch(self, connection: Connection) -> TrustWatch:
        """Return what notices changes of trust; `connection` is asked only by the caller of `version`."""

    def ensure_schema(self) -> None:
        """Bring the database to the schema that this release knows."""

    def tidy(self) -> None:
        """Do what the engine needs done now and then, making nobody wait."""


def is_unique_violation(error: BaseException) -> bool:
    """Tell whether an error of either driver says that a key is taken already."""
    if getattr(error, "sqlstate", None) is not None:
        return getattr(error, "sqlstate", None) == "23505"
    return str(getattr(error, "sqlite_errorname", "")) in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
