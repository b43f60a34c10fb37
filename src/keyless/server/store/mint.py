"""The one transaction of the exchange: claim on the id token, token row, audit row (D14-D17).

Through the driver, without SQLAlchemy. A batch of requests shares one transaction and so one sync to the disk; a member
that the database refuses is found by going through the batch again with a savepoint around each (D17).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keyless.errors import UnavailableError
from keyless.oidc.issuer import MAX_COUNTED_USES, ReplayMode
from keyless.server.audit.chain import EVENT_COLUMNS, Chain, Row
from keyless.server.audit.event import AuditEvent
from keyless.server.store.connection import Connection, Cursor, Database
from keyless.server.store.exchange_events import MAX_CONTACT_CHARS, as_refusal, failure, granted, pinned_event, refused
from keyless.server.store.grants import Grant, Outcome, Refusal, Verdict
from keyless.server.store.limits import LiveCounts, PublisherLimits
from keyless.server.store.pending import bring_into_being
from keyless.server.store.pinning import Pinned, pin_first_use
from keyless.server.store.plain_grants import CLAIM, MINT, UNCLAIM, grant_together, mint_parameters, plain_members
from keyless.server.store.sqlite import BUSY_TIMEOUT_SECONDS
from keyless.server.store.tokens import Unsettled

logger = logging.getLogger(__name__)

LAST_USED_SECONDS: Final = 60  # `last_used_at` is for people; once a minute is enough of them and spares the writes
MAX_ATTEMPTS: Final = 3  # of a batch that stood in another replica's way
MAX_TRACKED_PUBLISHERS: Final = 10_000

_USES: Final = "SELECT max(n), min(used_at) FROM replay_use WHERE issuer_id = ? AND replay_key = ?"
# `MINT` once more for each further package of the token: each publisher must still stand (D16).
_COVER: Final = """
INSERT INTO token_resource (jti, resource, publisher_id)
SELECT ?, r.path, p.id
FROM publisher p
JOIN issuer i ON i.id = p.issuer_id
JOIN resource r ON r.id = p.resource_id
JOIN namespace n ON n.id = r.namespace_id
JOIN resource_server s ON s.id = p.resource_server_id
WHERE p.id = ? AND p.version = ? AND p.enabled = 1 AND (p.expires_at IS NULL OR p.expires_at > ?)
  AND ((r.state = 'active' AND p.pending_until IS NULL) OR (r.state = 'pending' AND p.pending_until > ?))
  AND i.id = ? AND i.enabled = 1 AND r.path = ? AND n.state = 'active' AND s.audience = ?
"""
_UNMINT: Final = "DELETE FROM token WHERE jti = ?"  # takes its rows in token_resource with it
_USED: Final = "UPDATE publisher SET last_used_at = ? WHERE id = ?"
_CONTACT_COLUMNS: Final = ("writer", "sequence", "at", "address", "user_agent")


class BatchWriter:
    """Write batches over one connection, which nobody else may use meanwhile. Not thread-safe.

    Args:
        database: The engine.
        connection: One that nobody else uses.
        chain: The audit chain of this process.
        seal: Ends the transaction; another one is handed in to test what happens when a commit's outcome is unknown.
    """

    def __init__(
        self,
        database: Database,
        connection: Connection,
        chain: Chain,
        *,
        seal: Callable[[Connection], object] = lambda connection: connection.execute("COMMIT"),
    ) -> None:
        self._database = database
        self._connection = connection
        self._chain = chain
        self._seal = seal
        self._last_used: dict[str, int] = {}
        self._live = LiveCounts()
        self.unsettled: list[Unsettled] = []
        """Token ids of batches whose commit failed with an unknown outcome; nobody got these tokens (D14)."""

    def write(self, batch: Sequence[Grant | Refusal]) -> list[Outcome]:
        """Write a batch in one transaction and say what became of each member, in order.

        Raises:
            UnavailableError: The database cannot take any of it now. Nothing of the batch counts.
        """
        try:
            for _attempt in range(MAX_ATTEMPTS - 1):
                try:
                    return self._write(batch)
                except self._database.retryable_errors:
                    self.roll_back()
            return self._write(batch)
        except self._database.errors as error:
            self.roll_back()
            raise UnavailableError("the database cannot be written to right now", retry_after=2) from error
        except BaseException:
            self.roll_back()
            raise

    def begin(self, batch: Sequence[Grant | Refusal]) -> Begun | None:
        """Write a batch up to its commit, without waiting for another writer.

        Returns:
            What `finish` takes; `None` when nothing was done, and `write` has to do it.
        """
        try:
            cursor = self._connection.cursor()
            cursor.execute("PRAGMA busy_timeout = 0")
            try:
                cursor.execute(self._database.begin_exchange)
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")
            transaction = self._transaction(cursor)
            outcomes = transaction.apply_all(batch, None)
            transaction.flush()
        except (*self._database.errors, *self._database.member_errors):
            self.roll_back()
            return None
        except BaseException:
            self.roll_back()
            raise
        return Begun(batch, transaction, outcomes)

    def _transaction(self, cursor: Cursor) -> _Transaction:
        self._live.begin(self._database.write_mark(self._connection))
        return _Transaction(cursor, self._database, self._chain, self._last_used, self._live)

    def finish(self, begun: Begun) -> None:
        """Commit what `begin` has written.

        Raises:
            UnavailableError: The commit was not confirmed; nothing of the batch counts.
        """
        try:
            self._commit(begun.batch, begun.transaction)
        except BaseException:
            self.roll_back()
            raise

    def _write(self, batch: Sequence[Grant | Refusal]) -> list[Outcome]:
        try:
            return self._write_together(batch)
        except self._database.member_errors:
            self.roll_back()
            return self._write_one_by_one(batch)

    def _write_together(self, batch: Sequence[Grant | Refusal]) -> list[Outcome]:
        cursor = self._connection.cursor()
        minted = self._database.open_exchange(self._connection, batch)
        transaction = self._transaction(cursor)
        outcomes = transaction.apply_all(batch, minted)
        transaction.flush()
        self._commit(batch, transaction)
        return outcomes

    def _write_one_by_one(self, batch: Sequence[Grant | Refusal]) -> list[Outcome]:
        cursor = self._connection.cursor()
        cursor.execute(self._database.begin_exchange)
        transaction = self._transaction(cursor)
        outcomes = []
        for member in batch:
            try:
                outcomes.append(transaction.apply_alone(member))
            except self._database.member_errors as error:
                # The type only, no traceback: the message of a codec error quotes the text.
                logger.error("the database refused request %r: %s", member.request_id, type(error).__name__)  # noqa: TRY400
                transaction.apply_alone(failure(member))
                outcomes.append(Outcome(Verdict.FAILED))
        self._commit(batch, transaction)
        return outcomes

    def _commit(self, batch: Sequence[Grant | Refusal], transaction: _Transaction) -> None:
        mark = self._database.write_mark(self._connection)
        try:
            self._seal(self._connection)
        except BaseException as error:
            # Never retried row by row: the batch may be on the disk already.
            self.unsettled += [(m.jti, m.issuer_id, m.replay_key) for m in batch if isinstance(m, Grant)]
            if isinstance(error, self._database.errors):
                raise UnavailableError("the database did not confirm the commit", retry_after=2) from error
            raise
        self._chain.confirm()
        self._live.keep(mark)
        for publisher_id in transaction.limits.paused:
            logger.warning("publisher %s is paused: it got more tokens in an hour than it should", publisher_id)
        if len(self._last_used) > MAX_TRACKED_PUBLISHERS:
            self._last_used.clear()
        self._last_used.update(transaction.used)

    def roll_back(self) -> None:
        """Leave no transaction open, whatever state the last one was left in."""
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except self._database.errors:
                logger.exception("a transaction could not be rolled back")
        self._chain.discard()


@dataclass(frozen=True, slots=True)
class Begun:
    """Hold a batch that is written and not committed."""

    batch: Sequence[Grant | Refusal]
    transaction: _Transaction
    outcomes: list[Outcome]


class _Transaction:
    """Apply the members of one batch inside the open transaction."""

    def __init__(
        self, cursor: Cursor, database: Database, chain: Chain, last_used: dict[str, int], live: LiveCounts
    ) -> None:
        self._cursor = cursor
        self._database = database
        self._execute = cursor.execute
        self._chain = chain
        self._last_used = last_used
        self._events: list[Row] = []
        self._contacts: list[Row] = []
        self._pinned: dict[str, Pinned] = {}
        self._marks: dict[str, int] = {}
        self.used: dict[str, int] = {}
        self.limits = PublisherLimits(cursor, chain, self._emit, live, row_lock=database.row_lock)

    def apply_all(self, batch: Sequence[Grant | Refusal], minted: Mapping[str, int] | None) -> list[Outcome]:
        """Settle a batch: the plain grants together, the others one by one.

        Args:
            batch: All members.
            minted: Token id -> use, of the members that have their claim and token row already; `None` when nobody
                looked for plain ones yet.
        """
        if minted is not None:
            settled = {jti: Outcome(Verdict.GRANTED, use=use) for jti, use in minted.items()}
        else:
            plain = plain_members(batch, self.limits)
            settled = grant_together(self._cursor, plain)
            for grant in plain:
                if settled[grant.jti].verdict is Verdict.GRANTED:
                    self.limits.minted(grant)
        return [self.apply(member, settled.get(member.jti) if isinstance(member, Grant) else None) for member in batch]

    def apply(self, member: Grant | Refusal, settled: Outcome | None = None) -> Outcome:
        """Settle one member, unless it is settled already, and record it. Audit rows are collected until `flush`."""
        if isinstance(member, Refusal):
            self._record(member, refused(member))
            return Outcome(Verdict.RECORDED)
        outcome = settled
        if outcome is None:
            has_effects = member.pending or bool(member.first_use_pins) or any(also.pending for also in member.also)
            outcome = self._grant_with_effects(member) if has_effects else self._grant(member)
            if outcome.verdict is Verdict.GRANTED:
                self.limits.minted(member)
        if outcome.verdict is Verdict.GRANTED:
            self._record(member, granted(member, outcome.use or 1))
            self._mark_used(member)
            for covered in member.also:
                also = replace(member, resource=covered.resource, publisher_id=covered.publisher_id)
                self._emit(granted(also, outcome.use or 1))
                self._mark_used(also)
        elif member.keep_refusal:
            reason = "token_replayed" if outcome.verdict is Verdict.REPLAYED else str(outcome.verdict)
            self._record(member, refused(as_refusal(member, reason)))
        return outcome

    def apply_alone(self, member: Grant | Refusal) -> Outcome:
        """Settle one member inside its own savepoint, so that an error takes back nothing but its own rows."""
        position, pinned, used = self._chain.position, dict(self._pinned), dict(self.used)
        paused = len(self.limits.paused)
        self._execute("SAVEPOINT member")
        try:
            outcome = self.apply(member)
            self.flush()
        except BaseException:
            if self._cursor.connection.in_transaction:  # not so when the database gave up the whole transaction
                self._execute("ROLLBACK TO member")
                self._execute("RELEASE member")
            self._events.clear()
            self._contacts.clear()
            self._marks.clear()
            self._chain.rewind(position)
            self._pinned, self.used = pinned, used
            self.limits.forget(paused)
            raise
        self._execute("RELEASE member")
        return outcome

    def flush(self) -> None:
        """Write the audit rows that were collected."""
        if self._events:
            self._database.insert_many(self._cursor, "audit_event", EVENT_COLUMNS, self._events)
        if self._contacts:
            self._database.insert_many(self._cursor, "audit_contact", _CONTACT_COLUMNS, self._contacts)
        if self._marks:
            # In the order of the key: two replicas that mark the same publishers wait, and do not block for good.
            self._cursor.executemany(_USED, [(at, publisher_id) for publisher_id, at in sorted(self._marks.items())])
        self._events.clear()
        self._contacts.clear()
        self._marks.clear()

    def _grant(self, grant: Grant) -> Outcome:
        use = 1
        while True:
            if grant.replay_mode is ReplayMode.COUNTED:
                used, first_used_at = self._uses(grant)
                use = used + 1
                if use > MAX_COUNTED_USES:
                    return Outcome(Verdict.REPLAYED, first_used_at=first_used_at)
            claim = (grant.issuer_id, grant.replay_key, use)
            self._execute(CLAIM, (*claim, grant.jti, grant.issued_at, grant.replay_expires_at))
            if self._cursor.rowcount == 1:
                break
            if grant.replay_mode is not ReplayMode.COUNTED:
                return Outcome(Verdict.REPLAYED, first_used_at=self._uses(grant)[1])
            # Another replica has just taken that number; its row is committed, so the next look sees it.
        if (room_at := self.limits.full(grant)) is not None:
            self._execute(UNCLAIM, claim)
            return Outcome(Verdict.TOO_MANY_TOKENS, room_at=room_at)
        pinned = self._pinned.get(grant.publisher_id)
        version = grant.publisher_version
        if pinned is not None and pinned.accepts(grant):
            version = pinned.version
        self._execute(MINT, mint_parameters(grant, version))
        if self._cursor.rowcount != 1:
            self._execute(UNCLAIM, claim)
            return Outcome(Verdict.PUBLISHER_CHANGED)
        # Covered packages that changed meanwhile; or paused by this very grant, which gets nothing.
        if (grant.also and not self._cover(grant)) or self.limits.too_fast(grant):
            self._execute(_UNMINT, (grant.jti,))
            self._execute(UNCLAIM, claim)
            return Outcome(Verdict.PUBLISHER_CHANGED)
        return Outcome(Verdict.GRANTED, use=use)

    def _cover(self, grant: Grant) -> bool:
        """Write what else the token is for; false when a publisher of it does not stand as it was matched."""
        for covered in grant.also:
            at = grant.issued_at
            named = (covered.publisher_id, covered.publisher_version, at, at, grant.issuer_id)
            self._execute(_COVER, (grant.jti, *named, covered.resource, grant.audience))
            if self._cursor.rowcount != 1:
                return False
        return True

    def _uses(self, grant: Grant) -> tuple[int, int | None]:
        used, first_used_at = self._execute(_USES, (grant.issuer_id, grant.replay_key)).fetchone()
        return used or 0, first_used_at

    def _grant_with_effects(self, grant: Grant) -> Outcome:
        """Grant, and then pin the publisher and bring its resource into being; all or nothing (D10, T86, T93, T116)."""
        pinned = self._pinned.get(grant.publisher_id)
        if pinned is not None and pinned.accepts(grant):  # an earlier member of this batch pinned the same ids
            return self._grant(grant)
        position, events, paused = self._chain.position, len(self._events), len(self.limits.paused)
        self._execute("SAVEPOINT effects")
        outcome = self._grant(grant)
        if outcome.verdict is Verdict.GRANTED and not self._take_effect(grant):
            self._execute("ROLLBACK TO effects")
            del self._events[events:]
            self._chain.rewind(position)
            self.limits.forget(paused)
            outcome = Outcome(Verdict.PUBLISHER_CHANGED)
        self._execute("RELEASE effects")
        return outcome

    def _take_effect(self, grant: Grant) -> bool:
        version, found = grant.publisher_version, None
        events: list[AuditEvent] = []
        if grant.first_use_pins:
            if (found := pin_first_use(self._cursor, grant)) is None:
                return False
            version = found.version
            events.append(pinned_event(grant))
        if grant.pending:
            if not bring_into_being(self._cursor, grant, version, events.append):
                return False
        elif found is not None:
            self._pinned[grant.publisher_id] = found
        for covered in grant.also:
            also = replace(grant, resource=covered.resource, publisher_id=covered.publisher_id)
            if covered.pending and not bring_into_being(self._cursor, also, covered.publisher_version, events.append):
                return False
        for event in events:
            self._emit(event)
        return True

    def _emit(self, event: AuditEvent) -> None:
        self._events.append(self._chain.link(event))

    def _mark_used(self, grant: Grant) -> None:
        publisher_id, at = grant.publisher_id, grant.issued_at
        last = self.used.get(publisher_id) or self._last_used.get(publisher_id)
        if last is None or at - last >= LAST_USED_SECONDS:
            self._marks[publisher_id] = self.used[publisher_id] = at

    def _record(self, member: Grant | Refusal, event: AuditEvent) -> None:
        row = self._chain.link(event)
        self._events.append(row)
        if member.address is not None or member.user_agent is not None:
            user_agent = None if member.user_agent is None else member.user_agent[:MAX_CONTACT_CHARS]
            self._contacts.append((row[0], row[1], event.at, member.address, user_agent))
