"""The store: one object over one database, shared by all threads of a process (D4).

Two connections: one writes, one reads, each behind its own lock, so that reading trust never waits for a disk.
Administration (`keyless.server.store.admin`) works beside it over connections of its own.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Self

from keyless.errors import UnavailableError
from keyless.jose.jwk import KeySet
from keyless.oidc.issuer import Issuer
from keyless.resource import Resource, ResourceType
from keyless.secret import Secret
from keyless.server.audit.chain import GENESIS, Chain
from keyless.server.audit.pages import Page, read_events, read_page
from keyless.server.audit.reader import (
    AuditFilter,
    AuditRecord,
    PageKey,
    export_events,
    find_events,
    read_by_id,
)
from keyless.server.audit.sealing import OVERLAP_ROWS
from keyless.server.audit.verify import ChainReport, verify_chain
from keyless.server.database_url import PostgresUrl
from keyless.server.store import exchange_hours, issuer_keys, outbox, resource_servers, signing_keys, tokens
from keyless.server.store.audit_keeping import AuditKeeping
from keyless.server.store.connection import Connection, Cursor, Database
from keyless.server.store.database import open_database
from keyless.server.store.exchange_hours import HourCount
from keyless.server.store.feed import FeedPage, purge_feed, read_feed
from keyless.server.store.grants import Grant, Outcome, Refusal, TokenState, Verdict
from keyless.server.store.key_turns import StoredKeyTurns
from keyless.server.store.mint import BatchWriter, Begun
from keyless.server.store.records import ResourceServer, SigningKeyRow
from keyless.server.store.sqlite import SqliteDatabase
from keyless.server.store.trust_reader import TrustReader
from keyless.server.store.trust_upkeep import TrustUpkeep
from keyless.trust.publisher import Publisher

logger = logging.getLogger(__name__)


def open_store(location: Path | str | PostgresUrl, *, clock: Callable[[], float] = time.time) -> Store:
    """Open the database at a path or a `postgresql://` URL, migrating it when needed.

    A file is created when it is missing, readable by its owner only.

    Raises:
        ConfigurationError: The directory is missing, the database is not ours, or a newer release wrote it.
        UnavailableError: It is locked by somebody else for too long, or does not answer.
    """
    database = open_database(location)
    database.ensure_schema()
    return Store(database, clock=clock)


class Store:
    """Everything the service reads and writes while it runs. Thread-safe. Open one with `open_store`.

    Every method raises `UnavailableError` when the database cannot answer: an outage, never a refusal (D9).
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database: Final = database
        self.clock: Final = clock
        self._chain = Chain()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._translated = _Translated(database.errors)
        self._write_connection = database.connect()
        self._read_connection = database.connect(read_only=True)
        self._batches = BatchWriter(database, self._write_connection, self._chain)
        self._trust = TrustReader(database, self._read_connection, self._read_lock, clock)
        self.upkeep: Final = TrustUpkeep(
            self._chain, clock, aside=self._aside, reading=self._reading, writing=self._writing
        )
        self.key_turns: Final = StoredKeyTurns(clock, reading=self._aside, writing=self._writing)
        self.audit: Final = AuditKeeping(
            self._chain,
            clock,
            aside=self._aside,
            reading=self._reading,
            writing=self._writing,
            overlap_rows=0 if database.engine == "sqlite" else OVERLAP_ROWS,
        )

    @property
    def path(self) -> Path:
        """Return the database file, of a SQLite database."""
        assert isinstance(self.database, SqliteDatabase)  # noqa: S101 - asked only by who knows the engine
        return self.database.path

    # --- the exchange ---

    def commit(self, batch: Sequence[Grant | Refusal]) -> list[Outcome]:
        """Claim, mint and record a batch in one transaction; return the outcomes in the batch's order.

        Once this returns, everything it tells of is on the disk. No member's fault touches another member (D17).

        Raises:
            UnavailableError: Nothing of the batch counts; no token of it may be given out.
        """
        if not batch:
            return []
        with self._write_lock:
            self._settle()
            try:
                outcomes = self._batches.write(batch)
            except UnavailableError:
                self._settle_soon()
                raise
        return self._noticed(outcomes)

    def _settle_soon(self) -> None:
        try:
            self._settle()
        except UnavailableError:
            logger.warning("a batch without a confirmed commit will be settled before the next one")

    def _noticed(self, outcomes: list[Outcome]) -> list[Outcome]:
        if any(outcome.verdict is Verdict.PUBLISHER_CHANGED for outcome in outcomes):
            self._trust.expire()  # whoever matches again must not meet the snapshot that misled him
        return outcomes

    def begin_commit(self, batch: Sequence[Grant | Refusal]) -> Callable[[], list[Outcome]] | None:
        """Do what `commit` does up to the wait for the disk, at once and without waiting for anybody.

        On the event loop's own thread this spares handing the interpreter back and forth for every row (D17).

        Returns:
            What finishes the commit, on any thread; `None` when `commit` must be called instead, for nothing was done.
        """
        if self.database.engine != "sqlite" or not batch or not self._write_lock.acquire(blocking=False):
            return None
        outcomes = None
        try:
            if not self._batches.unsettled:
                outcomes = self._batches.begin(batch)
        finally:
            if outcomes is None:
                self._write_lock.release()
        return None if outcomes is None else functools.partial(self._finish_commit, outcomes)

    def _finish_commit(self, begun: Begun) -> list[Outcome]:
        try:
            self._batches.finish(begun)
        except UnavailableError:
            self._settle_soon()
            raise
        finally:
            self._write_lock.release()
        return self._noticed(begun.outcomes)

    def issuer_by_url(self, url: str) -> Issuer | None:
        """Return the issuer whose URL equals this text byte for byte, or `None`. Look at its `enabled`."""
        try:
            return self._trust.issuer_by_url(url)
        except self.database.errors as error:
            raise _silent() from error

    def publishers(self, resource: Resource, issuer_id: int) -> tuple[Publisher, ...]:
        """Return the publishers in force of this resource and issuer, as of the last commit of any process."""
        try:
            return self._trust.publishers(resource, issuer_id)
        except self.database.errors as error:
            raise _silent() from error

    def publishers_naming(
        self, resource_type: ResourceType, issuer_id: int, claims: Mapping[str, str]
    ) -> tuple[Publisher, ...]:
        """Return the publishers in force, of all resources of a type, that name one of these claims with this value."""
        with self._translated:
            return self._trust.publishers_naming(resource_type, issuer_id, claims)

    def resource_of_publisher(self, publisher_id: str) -> Resource | None:
        """Return what a publisher is for, or `None` when there is none of that id (D22)."""
        with self._translated:
            return self._trust.resource_of_publisher(publisher_id)

    def all_locked(self) -> bool:
        """Tell whether the switch that stops everything is on (T109)."""
        try:
            return self._trust.all_locked()
        except self.database.errors as error:
            raise _silent() from error

    def token_prefixes(self) -> tuple[str, ...]:
        """Return every prefix that our access tokens may carry (D6)."""
        with self._translated:
            return self._trust.token_prefixes()

    def trust_version(self) -> int:
        """Return a number that grows with each change of trust or signing keys, by whatever process."""
        try:
            return self._trust.trust_version()
        except self.database.errors as error:
            raise _silent() from error

    def note_trust_changed(self) -> None:
        """Look at trust anew before the next answer, because this very process has just changed it."""
        self._trust.expire()

    @property
    def clock_skew_seconds(self) -> float | None:
        """Return by how much this machine's clock is ahead of the database's, as of the last seconds, if known."""
        return self._trust.clock_skew_seconds

    def measure_clock(self) -> float | None:
        """Compare this machine's clock with the database's now; `None` when that cannot be told."""
        with self._translated:
            return self._trust.measure_clock()

    # --- tokens ---

    def token_state(self, jti: str) -> TokenState | None:
        """Return what is true of a token now, or `None` when no such token is known."""
        with self._reading() as connection:
            return tokens.read_token_state(connection, jti, int(self.clock()))

    def revoke_token(self, jti: str, *, reason: str, request_id: str | None = None, actor: str | None = None) -> bool:
        """Revoke a token; false when it is unknown or was revoked before. The audit row comes with it."""
        with self._writing(alone=False) as cursor:
            return tokens.revoke(
                cursor, self._chain, jti, at=int(self.clock()), reason=reason, request_id=request_id, actor=actor
            )

    def count_live_tokens(self) -> int:
        """Return how many tokens are good now."""
        with self._aside() as connection:
            query = "SELECT count(*) FROM token WHERE expires_at > ? AND revoked_at IS NULL"
            return int(connection.execute(query, (int(self.clock()),)).fetchone()[0])

    def purge(self, now: float | None = None) -> int:
        """Delete claims and tokens whose time is over, a few at a time; return how many rows went."""
        gone = 0
        while True:
            with self._writing(alone=False) as cursor:
                at = int(self.clock() if now is None else now)
                count = tokens.purge_expired(cursor, at)
                purge_feed(cursor, at)
            gone += count
            if count < tokens.PURGE_ROWS:
                return gone
            time.sleep(0)  # let a waiting exchange take the lock

    def feed(self, audience: str, cursor: str | None) -> FeedPage:
        """Return a page of what was withdrawn since a cursor, for a resource server's tokens."""
        with self._reading() as connection:
            return read_feed(connection, audience, cursor, int(self.clock()))

    def checkpoint(self) -> None:
        """Do what the engine needs done several times a second, aside from all others. Call it from a worker thread."""
        with self._translated:
            self.database.tidy()

    # --- exchanges of a day ---

    def count_exchanges(self) -> None:
        """Count the exchanges of the last minutes for good. Call it from a worker thread."""
        while True:
            now = int(self.clock())
            with self._aside() as connection:
                step = exchange_hours.count_step(connection, now)
            if step is None:
                return
            with self._writing(alone=False) as cursor:
                if not exchange_hours.add_step(cursor, step, now):
                    return

    def exchange_hours(self, namespaces: Collection[str] | None) -> list[HourCount]:
        """Return the exchanges of the last day by hour, of some namespaces or, with `None`, of all."""
        with self._aside() as connection:
            connection.execute(self.database.begin_snapshot)  # what was counted, and until when, as of one moment
            return exchange_hours.read_hours(connection, namespaces, int(self.clock()))

    # --- resource servers ---

    def ensure_default_resource_server(self, public_url: str, profile: str, *, actor: str = "serve") -> ResourceServer:
        """Return the resource server that stands for our own origin, made or brought up to date when needed (D19).

        Args:
            public_url: Its audience.
            profile: `keyless` or `huggingface`: the token prefixes it gets.
            actor: Who the audit names when there is something to change.
        """
        return self.ensure_resource_server(public_url, profile, actor=actor)

    def ensure_resource_server(self, url: str, profile: str, *, actor: str = "serve") -> ResourceServer:
        """Return the resource server of a URL in the settings, made or brought up to date when needed.

        Args:
            url: Its audience.
            profile: Its token profile; a package registry's is the type of what it holds.
            actor: Who the audit names when there is something to change.
        """
        with self._reading() as connection:
            if (server := resource_servers.find_configured(connection, url, profile)) is not None:
                return server
        with self._writing() as cursor:
            return resource_servers.write_configured(
                cursor, self._chain, url, profile, at=int(self.clock()), actor=actor
            )

    def resource_servers(self) -> tuple[ResourceServer, ...]:
        """Return all resource servers, the first one made leading."""
        with self._reading() as connection:
            return resource_servers.read_all(connection)

    def resource_server_by_credential(self, name: str, credential: Secret) -> ResourceServer | None:
        """Return the resource server of this name, if that is its credential."""
        with self._reading() as connection:
            return resource_servers.find_by_credential(connection, name, credential)

    def resource_server_audience(self, name: str, credential: Secret) -> str | None:
        """Return the audience of the resource server of this name, if that is its credential."""
        server = self.resource_server_by_credential(name, credential)
        return None if server is None else server.audience

    def renew_resource_server_credential(self, name: str, *, actor: str) -> Secret | None:
        """Give a resource server a new credential and return it, this once; `None` when there is no such server."""
        with self._writing() as cursor:
            return resource_servers.renew_credential(cursor, self._chain, name, at=int(self.clock()), actor=actor)

    # --- issuers' keys ---

    def record_issuer_keys(self, issuer_id: int, seen: dict[str, str], *, actor: str) -> frozenset[str] | None:
        """Keep an issuer's keys (thumbprint -> key id) as fetched; return the old ids when no old key is left (T37)."""
        with self._reading() as connection:
            if issuer_keys.read_seen(connection, issuer_id) == seen:
                return None
        with self._writing() as cursor:
            return issuer_keys.write_seen(cursor, self._chain, issuer_id, seen, at=int(self.clock()), actor=actor)

    def issuer_keys(self, issuer_id: int) -> dict[str, str]:
        """Return thumbprint -> key id of an issuer's keys as they were last fetched."""
        with self._reading() as connection:
            return issuer_keys.read_seen(connection, issuer_id) or {}

    # --- the outbox ---

    def take_from_outbox(self, limit: int, seconds: int) -> list[outbox.Waiting]:
        """Return events that a webhook is to be told now, taken for so many seconds."""
        now = int(self.clock())
        with self._reading() as connection:
            found = outbox.due(connection, now, limit)
        if not found:
            return []
        with self._writing(alone=False) as cursor:
            return [event for event in found if outbox.take(cursor, event, now, seconds)]

    def cross_off(self, event: outbox.Waiting) -> None:
        """Forget an event that needs no more telling."""
        with self._writing(alone=False) as cursor:
            outbox.cross_off(cursor, event)

    def put_off(self, event: outbox.Waiting, seconds: int) -> None:
        """Let an event be due again in so many seconds."""
        with self._writing(alone=False) as cursor:
            outbox.put_off(cursor, event, int(self.clock()) + seconds)

    def purge_outbox(self) -> None:
        """Forget events that nobody was told in time."""
        before = int(self.clock()) - outbox.KEEP_SECONDS
        with self._aside() as connection:
            for page in outbox.stale(connection, before):
                with self._writing(alone=False) as cursor:
                    outbox.forget(cursor, page)

    # --- signing keys ---

    def signing_keys(self, purpose: str) -> tuple[SigningKeyRow, ...]:
        """Return the key rows of one purpose, oldest first."""
        with self._reading() as connection:
            return signing_keys.read(connection, purpose)

    def add_signing_key(self, row: SigningKeyRow, *, actor: str) -> bool:
        """Store a key; false when it would be a second one in its state, made by another process meanwhile."""
        with self._writing() as cursor:
            return signing_keys.add(cursor, self._chain, row, actor=actor)

    def activate_signing_key(self, kid: str, *, actor: str) -> bool:
        """Let a pending key sign and retire the one that did; false when it is not pending."""
        with self._writing() as cursor:
            return signing_keys.activate(cursor, self._chain, kid, at=int(self.clock()), actor=actor)

    def retire_signing_key(self, kid: str, *, actor: str) -> bool:
        """Withdraw a pending key before it has signed anything; false when it is not pending."""
        with self._writing() as cursor:
            return signing_keys.retire(cursor, self._chain, kid, at=int(self.clock()), actor=actor)

    def distrust_signing_key(self, kid: str, *, actor: str) -> bool:
        """Never publish a key again; false when it is the one that signs, or unknown."""
        with self._writing() as cursor:
            return signing_keys.distrust(cursor, self._chain, kid, at=int(self.clock()), actor=actor)

    # --- the audit ---

    def audit_events(
        self,
        *,
        resource: Resource | None = None,
        limit: int = 50,
        wanted: AuditFilter | None = None,
        before: PageKey | None = None,
    ) -> list[AuditRecord]:
        """Return the latest audit events of a resource, of a filter or of everything, the newest last."""
        path = None if resource is None else str(resource)
        with self._aside() as connection:
            return read_events(connection, resource=path, limit=limit, wanted=wanted, before=before)

    def audit_page(
        self,
        wanted: AuditFilter,
        *,
        namespaces: Collection[str] | None = None,
        before: PageKey | None = None,
        limit: int,
    ) -> Page:
        """Return a page of events, the newest first; see `read_page`."""
        with self._aside() as connection:
            return read_page(connection, wanted, namespaces=namespaces, before=before, limit=limit)

    def audit_event_by_id(self, number: int) -> AuditRecord | None:
        """Return one event, or `None`."""
        with self._aside() as connection:
            found = read_by_id(connection, [number])
        return found[0] if found else None

    def audit_event(self, name: str, *, everywhere: bool = True) -> list[AuditRecord]:
        """Return the events of a request id, a token's `jti`, or `WRITER:SEQUENCE`; see `find_events`."""
        with self._aside() as connection:
            return find_events(connection, name, everywhere=everywhere)

    def export_audit(self, wanted: AuditFilter) -> Iterator[AuditRecord]:
        """Return all events of a filter, the oldest first; read while they are taken."""
        with self._aside() as connection:
            yield from export_events(connection, wanted)

    def verify_chain(self, *, keys: KeySet | None = None, kept: Iterable[tuple[str, str]] = ()) -> ChainReport:
        """Check the chain of every audit writer and what was sealed of it; reads the whole audit.

        Args:
            keys: The checkpoint keys, where they are known.
            kept: Checkpoints from outside the database: where each stands, and its statement.
        """
        with self._aside() as connection:
            return verify_chain(connection, keys=keys, kept=kept)

    # --- the object itself ---

    def healthy(self) -> bool:
        """Tell whether the database answers and can be written to, without changing it."""
        try:
            with self._writing(alone=False) as cursor:
                cursor.execute("SELECT value FROM meta WHERE key = 'trust_version'").fetchone()
        except UnavailableError:
            return False
        return True

    def close(self) -> None:
        """Close the connections. Idempotent."""
        with self._write_lock, self._read_lock:
            self._trust.close()
            self._write_connection.close()
            self._read_connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._read_lock, self._translated:
            yield self._read_connection

    @contextmanager
    def _aside(self) -> Iterator[Connection]:
        """Give a connection of its own to what takes long, so that no exchange waits for it."""
        with self._translated, closing(self.database.connect()) as connection:
            yield connection

    @contextmanager
    def _writing(self, *, alone: bool = True) -> Iterator[Cursor]:
        """Open a transaction that writes; `alone`, nothing that it reads is changed by others before it ends."""
        with self._write_lock:
            self._settle()
            with self._transaction(self.database.begin if alone else self.database.begin_exchange) as cursor:
                yield cursor

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Cursor]:
        with self._translated:
            cursor = self._write_connection.cursor()
            try:
                cursor.execute(begin)
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                self._batches.roll_back()
                raise
            self._chain.confirm()

    def _settle(self) -> None:
        """Find out what became of a commit that was not confirmed, before anything else is written (D14)."""
        if not self._batches.unsettled:
            return
        with self._translated:
            query = "SELECT sequence, hash FROM audit_event WHERE writer = ? ORDER BY sequence DESC LIMIT 1"
            head = self._write_connection.execute(query, (self._chain.writer,)).fetchone()
        self._chain.resume((0, GENESIS) if head is None else (head[0], head[1]))
        with self._transaction(self.database.begin_exchange) as cursor:
            found = tokens.settle(cursor, self._chain, self._batches.unsettled, at=int(self.clock()))
        if found:
            logger.warning("%d tokens of an unconfirmed commit were revoked before anybody got them", found)
        self._batches.unsettled.clear()


class _Translated:
    """Turn what the driver raises into an outage."""

    def __init__(self, errors: tuple[type[Exception], ...]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._errors):
            raise _silent() from error


def _silent() -> UnavailableError:
    return UnavailableError("the database does not answer right now", retry_after=2)
