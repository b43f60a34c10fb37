"""Noticing changes of trust and of the clock on PostgreSQL, without a question for each exchange (D4).

A thread listens to what the trigger on `meta` announces when a change is committed, and asks every two seconds as well:
a notification that got lost, a proxy that passes none on, or a connection that is dead without saying so, make a
snapshot old by seconds, never for good. What has to be exact is: the mint checks again (D16).
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import psycopg

from keyless.errors import ConfigurationError, UnavailableError
from keyless.server.store.connection import Connection

if TYPE_CHECKING:
    from keyless.server.store.postgres import Driver, PostgresDatabase

CHANNEL: Final = "keyless_trust"  # as in the migration
BEAT_SECONDS: Final = 2.0
GLANCE_SECONDS: Final = 0.25  # between looks at whether somebody else met with silence
MAX_AGE_SECONDS: Final = 5.0  # of an answer while we listen: two beats and a bit
DEAF_MAX_AGE_SECONDS: Final = 0.25  # while we do not
RETRY_SECONDS: Final = 0.25
MAX_ROUND_TRIP_SECONDS: Final = 1.0  # of a question for the time; a slower answer tells too little

_VERSION: Final = "SELECT value FROM meta WHERE key = 'trust_version'"
_BEAT: Final = "SELECT value, extract(epoch FROM clock_timestamp())::float8 FROM meta WHERE key = 'trust_version'"

logger = logging.getLogger("keyless.server")


class ListeningWatch:
    """Watch one database on a thread of its own, which starts with the first question.

    Args:
        database: Where to listen.
        connection: Asked by the caller of `version` when what was heard is too old.
        clock: This machine's clock, to be compared with the database's.
    """

    def __init__(
        self, database: PostgresDatabase, connection: Connection, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._connection = connection
        self._clock = clock
        self._version = -1
        self._as_of = 0.0
        self._stale = True
        self._listening = False
        self._skew_seconds: float | None = None
        self._wake: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def version(self) -> int:
        """Return the trust version: what was heard last, or the database's answer when that is not good enough."""
        if self._thread is None:
            self._start()
        now = time.monotonic()
        if self._stale or now - self._as_of > (MAX_AGE_SECONDS if self._listening else DEAF_MAX_AGE_SECONDS):
            self._stale = False  # before the question: what is announced meanwhile counts again
            try:
                self._version = int(self._connection.execute(_VERSION).fetchone()[0])
            except BaseException:
                self._stale = True
                raise
            self._as_of = now
        return self._version

    def expire(self) -> None:
        """Ask at the next question."""
        self._stale = True

    @property
    def clock_skew_seconds(self) -> float | None:
        """Return by how much this machine's clock is ahead of the database's, or `None` when it is not known."""
        return self._skew_seconds

    def measure_clock(self) -> float | None:
        """Ask the database for its time now, and return the difference."""
        before = self._clock()
        row = self._connection.execute(_BEAT).fetchone()
        self._note_clock(before, float(row[1]))
        return self._skew_seconds

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._wake is not None and self._thread is not None:
            self._wake.close()  # ends every wait of the thread
            self._thread.join()

    def _start(self) -> None:
        self._wake, woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, args=(woken,), name="keyless-listen", daemon=True)
        self._thread.start()

    def _run(self, woken: socket.socket) -> None:
        self._database.watched = True
        with woken:
            self._keep_listening(woken.fileno())
        self._database.watched = self._database.gone = False  # nobody looks any more

    def _keep_listening(self, woken: int) -> None:
        while not self._closed:
            try:
                driver = self._database.open_driver(read_only=True, seconds=BEAT_SECONDS, looking=True)
            except (psycopg.Error, UnavailableError, ConfigurationError):
                self._database.gone = True
                _readable(RETRY_SECONDS, woken)
                continue
            self._database.gone = False
            try:
                self._listen(driver, woken)
            except psycopg.Error as error:
                logger.warning("listening for changes of trust has to begin again: %s", type(error).__name__)
            except Exception:
                logger.exception("listening for changes of trust failed")
            finally:
                self._listening = False
                self._stale = True
                driver.close()

    def _listen(self, driver: Driver, woken: int) -> None:
        driver.execute(f"LISTEN {CHANNEL}".encode())
        # What was announced before is heard by nobody: ask once more, now that we listen.
        self._stale = True
        self._listening = True
        while not self._closed:
            self._beat(driver)
            ends_at = time.monotonic() + BEAT_SECONDS
            while (left := ends_at - time.monotonic()) > 0 and not self._database.gone:
                readable = _readable(min(left, GLANCE_SECONDS), driver.pgconn.socket, woken)
                if woken in readable:
                    return
                if readable:
                    driver.pgconn.consume_input()
                    while driver.pgconn.notifies() is not None:
                        self._stale = True

    def _beat(self, driver: Driver) -> None:
        asked_at, before = time.monotonic(), self._clock()
        row = driver.execute(_BEAT.encode()).fetchone()
        self._database.gone = False  # it answers: whoever said that it does not may try again
        if row is None:
            return
        self._note_clock(before, float(row[1]))
        if int(row[0]) != self._version:
            self._stale = True
        elif not self._stale:
            self._as_of = asked_at

    def _note_clock(self, before: float, theirs: float) -> None:
        after = self._clock()
        if 0 <= after - before <= MAX_ROUND_TRIP_SECONDS:
            self._skew_seconds = (before + after) / 2 - theirs


def _readable(seconds: float, *descriptors: int) -> set[int]:
    """Wait so long for one of the descriptors, whatever their numbers are: `select` itself ends at 1024."""
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        return {key.fd for key, _ in selector.select(seconds)}
