"""How many exchanges an hour saw, by namespace and verdict: what a picture of a day is made of, however many they were.

Counted from the audit a short while after it was written, so that an exchange writes nothing for it. Only what is older
than `SETTLED_SECONDS` is counted for good: until then a transaction may still be under way. The rest is counted when
somebody asks, which is a minute's worth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from keyless.resource import namespace_of
from keyless.server.audit.event import EventKind
from keyless.server.store.connection import Connection, Cursor

HOUR_SECONDS: Final = 3600
KEPT_HOURS: Final = 25  # a day, and the hour that has just begun
SETTLED_SECONDS: Final = 60  # longer than an exchange takes, and the clocks of two replicas may differ
STEP_ROWS: Final = 20_000  # of the audit, counted at once
RECENT_ROWS: Final = 5_000  # not counted yet, that a page looks at
EVERYWHERE: Final = ""

_UNTIL: Final = "SELECT value FROM meta WHERE key = 'exchanges_counted_until'"
_ADVANCE: Final = "UPDATE meta SET value = ? WHERE key = 'exchanges_counted_until' AND value = ?"
_STEP: Final = f"SELECT at FROM audit_event WHERE at >= ? ORDER BY at LIMIT 1 OFFSET {STEP_ROWS}"  # noqa: S608 - ours
_COUNT: Final = """
SELECT at / 3600, kind, reason, resource, count(*) FROM audit_event WHERE at >= ? AND at < ? GROUP BY 1, 2, 3, 4
"""
_RECENT: Final = (
    f"SELECT at / 3600, kind, reason, resource, 1 FROM audit_event WHERE at >= ? ORDER BY at LIMIT {RECENT_ROWS}"  # noqa: S608
)
_ADD: Final = """
INSERT INTO exchange_hour (namespace, hour, kind, reason, exchanges) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (namespace, hour, kind, reason) DO UPDATE SET exchanges = exchange_hour.exchanges + excluded.exchanges
"""
_READ: Final = """
SELECT hour, kind, reason, exchanges FROM exchange_hour WHERE namespace = ? AND hour >= ?
"""
_PURGE: Final = "DELETE FROM exchange_hour WHERE hour < ?"
_COUNTED: Final = frozenset({EventKind.TOKEN_GRANTED.value, EventKind.EXCHANGE_REFUSED.value})

Count = tuple[str, int, str, str]
"""Namespace or `EVERYWHERE`, hour of Unix time, kind of the event, reason or nothing."""


@dataclass(frozen=True, slots=True)
class HourCount:
    """Say how many exchanges of one kind and reason an hour saw; `hour` is Unix time divided by 3600."""

    hour: int
    kind: str
    reason: str
    exchanges: int


@dataclass(frozen=True, slots=True)
class Step:
    """Hold what was counted of a stretch of time, before it is added. Unix seconds."""

    since: int
    until: int
    counts: Counter[Count]


def count_step(connection: Connection, now: int) -> Step | None:
    """Count the next stretch of the audit; `None` when there is none yet. Reads only."""
    known = _until(connection)
    since = max(known, _first_hour(now) * HOUR_SECONDS)
    end = now - SETTLED_SECONDS
    if end <= since:
        return None
    row = connection.execute(_STEP, (since,)).fetchone()
    until = end if row is None else min(end, max(int(row[0]), since + 1))
    return Step(known, until, _sum(connection.execute(_COUNT, (since, until)).fetchall()))


def add_step(cursor: Cursor, step: Step, now: int) -> bool:
    """Add what was counted, and forget what is too old; false when somebody else was faster."""
    cursor.execute(_ADVANCE, (step.until, step.since))
    if cursor.rowcount != 1:
        return False
    for key, exchanges in sorted(step.counts.items()):
        cursor.execute(_ADD, (*key, exchanges))
    cursor.execute(_PURGE, (_first_hour(now),))
    return True


def read_hours(connection: Connection, namespaces: Collection[str] | None, now: int) -> list[HourCount]:
    """Return the exchanges of the last day, of some namespaces or, with `None`, of all."""
    found: Counter[Count] = Counter()
    first = _first_hour(now)
    wanted = [EVERYWHERE] if namespaces is None else sorted(namespaces)
    for namespace in wanted:
        for hour, kind, reason, exchanges in connection.execute(_READ, (namespace, first)).fetchall():
            found[EVERYWHERE, hour, kind, reason] += exchanges
    since = max(_until(connection), first * HOUR_SECONDS)
    recent = _sum(connection.execute(_RECENT, (since,)).fetchall())
    for (namespace, hour, kind, reason), exchanges in recent.items():
        if namespace in wanted:
            found[EVERYWHERE, hour, kind, reason] += exchanges
    return [HourCount(hour, kind, reason, exchanges) for (_, hour, kind, reason), exchanges in sorted(found.items())]


def _first_hour(now: int) -> int:
    return now // HOUR_SECONDS - KEPT_HOURS + 1


def _until(connection: Connection) -> int:
    row = connection.execute(_UNTIL).fetchone()
    return 0 if row is None else int(row[0])


def _sum(rows: Iterable[Any]) -> Counter[Count]:
    found: Counter[Count] = Counter()
    for hour, kind, reason, resource, exchanges in rows:
        if kind not in _COUNTED:
            continue
        key = (int(hour), kind, reason or "")
        found[EVERYWHERE, *key] += exchanges
        if resource is not None and (namespace := namespace_of(resource)) is not None:
            found[namespace, *key] += exchanges
    return found
