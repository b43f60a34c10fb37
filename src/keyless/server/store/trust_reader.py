"""Reading trust for the exchange: issuers and publishers, cached, and never older than the last commit (D4).

Before each answer the database's `TrustWatch` is asked whether trust has changed. Inside an event loop once a turn is
enough: what a turn works on was received before it began. Mints commit all the time; what empties the caches is
`meta.trust_version`, which only changes of trust make grow.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.server.store.connection import Connection, Database
from keyless.server.store.loop_turn import LoopTurn
from keyless.server.store.records import ISSUER_COLUMNS, issuer_from_row, operations_from_text
from keyless.trust.publisher import Condition, Operator, Pin, PinSource, Publisher

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

MAX_ISSUERS: Final = 1_024
MAX_RESOURCES: Final = 8_192  # publishers of a resource and issuer: about 2 kB each

_ISSUER: Final = f"SELECT {ISSUER_COLUMNS} FROM issuer WHERE url = ?"  # noqa: S608 - constants
_PUBLISHERS: Final = """
SELECT p.id, p.version, i.url, i.kind, p.operations, p.ttl_seconds, p.expires_at, p.replay, p.created_by, p.created_at,
       p.last_used_at, p.pending_until, p.max_live_tokens, p.max_grants_per_hour, p.max_run_attempt,
       s.audience, s.token_prefix, s.user_token_prefix
FROM resource r
JOIN namespace n ON n.id = r.namespace_id
JOIN publisher p ON p.resource_id = r.id
JOIN issuer i ON i.id = p.issuer_id
JOIN resource_server s ON s.id = p.resource_server_id
WHERE r.path = ? AND p.issuer_id = ? AND p.enabled = 1 AND n.state = 'active'
  AND ((r.state = 'active' AND p.pending_until IS NULL) OR (r.state = 'pending' AND p.pending_until IS NOT NULL))
ORDER BY p.created_at, p.id
"""
_PUBLISHERS_NAMING: Final = """
SELECT p.id, p.version, i.url, i.kind, p.operations, p.ttl_seconds, p.expires_at, p.replay, p.created_by, p.created_at,
       p.last_used_at, p.pending_until, p.max_live_tokens, p.max_grants_per_hour, p.max_run_attempt,
       s.audience, s.token_prefix, s.user_token_prefix, r.path
FROM publisher p
JOIN resource r ON r.id = p.resource_id
JOIN namespace n ON n.id = r.namespace_id
JOIN issuer i ON i.id = p.issuer_id
JOIN resource_server s ON s.id = p.resource_server_id
WHERE p.id IN (SELECT publisher_id FROM pin WHERE claim = ? AND value = ?
               UNION SELECT publisher_id FROM condition WHERE claim = ? AND value = ?)
  AND p.issuer_id = ? AND r.type = ? AND p.enabled = 1 AND n.state = 'active'
  AND ((r.state = 'active' AND p.pending_until IS NULL) OR (r.state = 'pending' AND p.pending_until IS NOT NULL))
ORDER BY p.created_at, p.id
LIMIT ?
"""
MAX_NAMED: Final = 1_000  # publishers of one repository: forty times what one token may cover
_LOCKED: Final = "SELECT value FROM meta WHERE key = 'locked'"
_RESOURCE: Final = "SELECT r.path FROM publisher p JOIN resource r ON r.id = p.resource_id WHERE p.id = ?"
_CONDITIONS: Final = "SELECT claim, operator, value FROM condition WHERE publisher_id = ? ORDER BY claim, value"
_PINS: Final = "SELECT claim, value, source, pinned_at, lapses_at FROM pin WHERE publisher_id = ? ORDER BY claim"


class TrustReader:
    """Answer questions about trust over one connection. Thread-safe.

    Args:
        database: The engine.
        connection: One that only reads, used by nobody else without `lock`.
        lock: Guards the connection and the caches.
        clock: Unix seconds.
    """

    def __init__(
        self, database: Database, connection: Connection, lock: threading.Lock, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._connection = connection
        self._watch = database.watch(connection)
        self._lock = lock
        self._clock = clock
        self._turn = LoopTurn()
        self._trust_version = -1
        self._locked = False
        self._issuers: OrderedDict[str, Issuer] = OrderedDict()
        self._prefixes: tuple[str, ...] | None = None
        self._publishers: OrderedDict[tuple[Resource, int], tuple[Publisher, ...]] = OrderedDict()

    def trust_version(self) -> int:
        """Return a number that grows with every change of trust or keys, by whatever process."""
        if self._turn.lasts():
            return self._trust_version
        with self._lock:
            self._refresh()
            return self._trust_version

    def all_locked(self) -> bool:
        """Tell whether the switch that stops everything is on (T109)."""
        if self._turn.lasts():
            return self._locked
        with self._lock:
            self._refresh()
            return self._locked

    def issuer_by_url(self, url: str) -> Issuer | None:
        """Return the issuer whose `url` equals this text byte for byte, switched off or not (V06)."""
        if self._turn.lasts() and (known := self._issuers.get(url)) is not None:
            return known  # its place in the order of use it gets from whoever asks first in a turn
        with self._lock:
            self._refresh()
            if (issuer := self._issuers.get(url)) is not None:
                self._issuers.move_to_end(url)
                return issuer
            # PostgreSQL's text holds no NUL.
            row = None if "\0" in url else self._connection.execute(_ISSUER, (url,)).fetchone()
            if row is None:  # not remembered: outsiders choose these texts
                return None
            issuer = self._issuers[url] = issuer_from_row(row)
            _bound(self._issuers, MAX_ISSUERS)
            return issuer

    def publishers(self, resource: Resource, issuer_id: int) -> tuple[Publisher, ...]:
        """Return the publishers in force of exactly this resource and issuer, oldest first (V16, T35)."""
        key = (resource, issuer_id)
        found = self._publishers.get(key, ()) if self._turn.lasts() else ()  # as above
        if not found:
            with self._lock:
                self._refresh()
                found = self._publishers.get(key, ())
                if found:
                    self._publishers.move_to_end(key)
                elif found := self._load(resource, issuer_id):  # none: not remembered, for callers choose names
                    self._publishers[key] = found
                    _bound(self._publishers, MAX_RESOURCES)
        now = self._clock()
        in_time = [p for p in found if _in_time(p, now)]
        return found if len(in_time) == len(found) else tuple(in_time)

    def publishers_naming(
        self, resource_type: ResourceType, issuer_id: int, claims: Mapping[str, str]
    ) -> tuple[Publisher, ...]:
        """Return the publishers in force, of all resources of a type, that pin or demand one of these claims' values.

        At most `MAX_NAMED` for each claim, the oldest first. Not remembered: a publish asks once.
        """
        found: dict[str, Publisher] = {}
        with self._lock:
            connection = self._connection
            connection.execute(self._database.begin_snapshot)
            try:
                for pair in claims.items():
                    arguments = (*pair, *pair, issuer_id, resource_type.value, MAX_NAMED)
                    for *row, path in connection.execute(_PUBLISHERS_NAMING, arguments).fetchall():
                        if row[0] not in found:
                            found[row[0]] = self._publisher(parse_resource(path), issuer_id, tuple(row))
            finally:
                connection.execute("COMMIT")
        now = self._clock()
        return tuple(p for p in found.values() if _in_time(p, now))

    def resource_of_publisher(self, publisher_id: str) -> Resource | None:
        """Return what a publisher is for, or `None` when there is none of that id."""
        with self._lock:
            row = self._connection.execute(_RESOURCE, (publisher_id,)).fetchone()
        return None if row is None else parse_resource(row[0])

    def token_prefixes(self) -> tuple[str, ...]:
        """Return every prefix that our access tokens may carry."""
        with self._lock:
            self._refresh()
            if self._prefixes is None:
                rows = self._connection.execute("SELECT token_prefix, user_token_prefix FROM resource_server")
                self._prefixes = tuple(sorted({prefix for row in rows for prefix in row}))
            return self._prefixes

    def expire(self) -> None:
        """Look again before the next answer: something shows that trust has changed."""
        self._watch.expire()

    @property
    def clock_skew_seconds(self) -> float | None:
        """Return by how much this machine's clock is ahead of the database's, if known."""
        return self._watch.clock_skew_seconds

    def measure_clock(self) -> float | None:
        """Compare the clocks now."""
        with self._lock:
            return self._watch.measure_clock()

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def _refresh(self) -> None:
        if self._turn.lasts():
            return
        trust_version = self._watch.version()
        if trust_version != self._trust_version:
            self._issuers.clear()
            self._publishers.clear()
            self._prefixes = None
            self._locked = bool(self._connection.execute(_LOCKED).fetchone()[0])
            self._trust_version = trust_version
        self._turn.begin()

    def _load(self, resource: Resource, issuer_id: int) -> tuple[Publisher, ...]:
        connection = self._connection
        connection.execute(self._database.begin_snapshot)  # one snapshot for rows, conditions and pins
        try:
            rows = connection.execute(_PUBLISHERS, (str(resource), issuer_id)).fetchall()
            return tuple(self._publisher(resource, issuer_id, row) for row in rows)
        finally:
            connection.execute("COMMIT")

    def _publisher(self, resource: Resource, issuer_id: int, row: tuple[object, ...]) -> Publisher:
        values: list[object] = list(row)
        number, version, url, kind, operations, ttl, expires_at, replay, created_by, created_at, last_used = values[:11]
        pending_until, max_live_tokens, max_grants_per_hour, max_run_attempt = map(_optional, values[11:15])
        audience, prefix, user_prefix = values[15:]
        return Publisher(
            id=str(number),
            version=_number(version),
            resource=resource,
            issuer_id=issuer_id,
            issuer_url=str(url),
            issuer_kind=str(kind),
            operations=operations_from_text(str(operations)),
            conditions=load_conditions(self._connection, str(number)),
            pins=load_pins(self._connection, str(number)),
            audience=str(audience),
            token_prefix=str(user_prefix if resource.type is ResourceType.USER else prefix),
            ttl_seconds=_optional(ttl),
            expires_at=_optional(expires_at),
            replay=None if replay is None else ReplayMode(str(replay)),
            created_by=str(created_by),
            created_at=_number(created_at),
            last_used_at=_optional(last_used),
            pending_until=pending_until,
            max_live_tokens=max_live_tokens,
            max_grants_per_hour=max_grants_per_hour,
            max_run_attempt=max_run_attempt,
        )


def load_conditions(connection: Connection, publisher_id: str) -> tuple[Condition, ...]:
    """Return a publisher's conditions; the rows of one claim are one condition's alternatives."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for claim, operator, value in connection.execute(_CONDITIONS, (publisher_id,)):
        grouped.setdefault((claim, operator), []).append(value)
    return tuple(Condition(claim, Operator(operator), tuple(vs)) for (claim, operator), vs in grouped.items())


def load_pins(connection: Connection, publisher_id: str) -> tuple[Pin, ...]:
    """Return a publisher's pins."""
    return tuple(
        Pin(claim, value, PinSource(source), pinned_at, lapses_at)
        for claim, value, source, pinned_at, lapses_at in connection.execute(_PINS, (publisher_id,))
    )


def _in_time(publisher: Publisher, now: float) -> bool:
    expires_at, pending_until = publisher.expires_at, publisher.pending_until
    return (expires_at is None or now < expires_at) and (pending_until is None or now < pending_until)


def _optional(value: object) -> int | None:
    return None if value is None else _number(value)


def _number(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101 - for the type checker; the table is STRICT
    return value


def _bound(cache: OrderedDict[_Key, _Value], size: int) -> None:
    while len(cache) > size:
        cache.popitem(last=False)
