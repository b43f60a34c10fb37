"""Reading the audit, for people and programs: the newest events first, by what they are about, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyless.resource import namespace_of
from keyless.server.audit.event import EventKind
from keyless.server.audit.run_url import run_url

if TYPE_CHECKING:  # the store imports this room
    from keyless.server.store.connection import Connection

EXPORT_ROWS: Final = 1_000  # read at once
CONTACT: Final = ("address", "user_agent")
# How long after a request or a token is made something may still happen to it.
REQUEST_SECONDS: Final = 600
LAST_ROWS: Final = 2_000
_TOGETHER: Final = 50  # more at once, and a planner may read a whole table instead
TOKEN_SECONDS: Final = 2 * 3600
_STAMP_CHARS: Final = 12  # request and token ids begin with the time, milliseconds in hex

PageKey = tuple[int, int]

_SELECT: Final = """
SELECT e.id, e.writer, e.sequence, e.at, e.kind, e.actor, e.request_id, e.publisher_id, i.url, e.resource, e.jti,
       e.ci_subject, e.reason, e.data, c.address, c.user_agent, i.kind, e.previous, e.hash
FROM audit_event e
LEFT JOIN issuer i ON i.id = e.issuer_id
LEFT JOIN audit_contact c ON c.writer = e.writer AND c.sequence = e.sequence
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Say which events are meant; `None` leaves a part open.

    `resource` is canonical, `kind` a name of `EventKind` or a group of them such as `exchange`, `kinds` some of those
    names; `since` (inclusive) and `until` (exclusive) are Unix seconds.
    """

    resource: str | None = None
    publisher_id: str | None = None
    kind: str | None = None
    actor: str | None = None
    since: int | None = None
    until: int | None = None
    kinds: frozenset[str] | None = None

    @property
    def all_kinds(self) -> frozenset[str] | None:
        """Return the kinds that are meant; `None`: all of them."""
        if self.kind is None:
            return self.kinds
        named = frozenset(k.value for k in EventKind if k == self.kind or k.startswith(f"{self.kind}."))
        return named if self.kinds is None else named & self.kinds

    def conditions(self) -> tuple[list[str], list[Any]]:
        """Return the conditions of the query and their values."""
        found: list[tuple[str, list[Any]]] = []
        for column, value in (
            ("e.resource", self.resource),
            ("e.publisher_id", self.publisher_id),
            ("e.actor", self.actor),
        ):
            if value is not None:
                found.append((f"{column} = ?", [value]))
        if (kinds := self.all_kinds) is not None:
            found.append((f"e.kind IN ({', '.join('?' * len(kinds)) or 'NULL'})", sorted(kinds)))
            if EventKind.TOKEN_GRANTED not in kinds:  # what the index of rare kinds is made by
                found.append(("e.kind <> 'token.granted'", []))
        if self.since is not None:
            found.append(("e.at >= ?", [self.since]))
        if self.until is not None:
            found.append(("e.at < ?", [self.until]))
        return [text for text, _ in found], [value for _, values in found for value in values]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One event of the audit as it is shown. `at` is Unix seconds; `data` holds claims and details.

    `jti` names the token without being a part of it; `run_url` is the page of the CI run, where it can be told.
    """

    writer: str
    sequence: int
    at: int
    kind: str
    actor: str | None
    request_id: str | None
    publisher_id: str | None
    issuer: str | None
    resource: str | None
    jti: str | None
    ci_subject: str | None
    reason: str | None
    data: Mapping[str, object]
    address: str | None
    user_agent: str | None
    run_url: str | None = None
    id: int = 0
    previous: str = ""
    hash: str = ""

    @property
    def claims(self) -> Mapping[str, str]:
        """Return the claims of the id token that are kept."""
        claims = self.data.get("claims", {})
        return claims if isinstance(claims, dict) else {}

    @property
    def namespace(self) -> str | None:
        """Return the namespace that it is about."""
        return None if self.resource is None else namespace_of(self.resource)

    @property
    def key(self) -> PageKey:
        """Return what the next page begins behind."""
        return self.at, self.id


def read_by_id(connection: Connection, numbers: Sequence[int]) -> list[AuditRecord]:
    """Return the events of these ids, the newest first."""
    found: list[AuditRecord] = []
    for start in range(0, len(numbers), _TOGETHER):
        some = numbers[start : start + _TOGETHER]
        query = f"{_SELECT} WHERE e.id IN ({', '.join('?' * len(some))})"
        found += [_record(row) for row in connection.execute(query, some).fetchall()]
    return sorted(found, key=lambda record: record.key, reverse=True)


def export_events(connection: Connection, wanted: AuditFilter) -> Iterator[AuditRecord]:
    """Return all events that are wanted, the oldest first."""
    texts, values = wanted.conditions()
    after: PageKey = (-1, -1)
    texts.append("(e.at, e.id) > (?, ?)")
    query = f"{_SELECT} WHERE {' AND '.join(texts)} ORDER BY e.at, e.id LIMIT {EXPORT_ROWS}"
    while page := connection.execute(query, (*values, *after)).fetchall():
        for row in page:
            yield _record(row)
        after = (page[-1][3], page[-1][0])


def find_events(connection: Connection, name: str, *, everywhere: bool = False) -> list[AuditRecord]:
    """Return the events that a name stands for, the oldest first.

    Args:
        connection: Any connection to the database.
        name: `WRITER:SEQUENCE`, a request id, or a token's `jti`. The last two say when they were made, so only what
            happened then is looked at, and the last few thousand events when nothing is found there.
        everywhere: Look at everything instead of those; for whoever has the time.
    """
    writer, colon, sequence = name.rpartition(":")
    if colon:
        if not sequence.isascii() or not sequence.isdecimal() or len(sequence) > 18:
            return []
        rows = connection.execute(f"{_SELECT} WHERE e.writer = ? AND e.sequence = ?", (writer, int(sequence)))
        return [_record(row) for row in rows.fetchall()]
    mine = "(e.request_id = ? OR e.jti = ?)"
    if (made_at := _made_at(name)) is not None:
        bounds = (made_at - REQUEST_SECONDS, made_at + TOKEN_SECONDS)
        query = f"{_SELECT} WHERE e.at BETWEEN ? AND ? AND {mine} ORDER BY e.at, e.id"
        if rows_found := connection.execute(query, (*bounds, name, name)).fetchall():
            return [_record(row) for row in rows_found]
    newest = 0 if everywhere else int(connection.execute("SELECT max(id) FROM audit_event").fetchone()[0] or 0)
    query = f"{_SELECT} WHERE e.id > ? AND {mine} ORDER BY e.at, e.id"
    return [_record(row) for row in connection.execute(query, (newest - LAST_ROWS, name, name)).fetchall()]


def _made_at(name: str) -> int | None:
    try:
        return int(name[:_STAMP_CHARS], 16) // 1000
    except ValueError:
        return None


_FIELDS: Final = (
    *("id", "writer", "sequence", "at", "kind", "actor", "request_id", "publisher_id", "issuer", "resource", "jti"),
    *("ci_subject", "reason"),
)


def _record(row: tuple[Any, ...]) -> AuditRecord:
    *shown, data, address, user_agent, kind, previous, digest = row
    named = dict(zip(_FIELDS, shown, strict=True))
    content = json.loads(data) if data else {}
    claims = content.get("claims")
    issuer = named["issuer"]
    return AuditRecord(
        **named,
        data=content,
        address=address,
        user_agent=user_agent,
        run_url=run_url(kind, issuer, claims) if isinstance(claims, dict) and kind and issuer else None,
        previous=bytes(previous).hex(),
        hash=bytes(digest).hex(),
    )
