"""Answers of creates, kept so that a create asked for twice happens once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, insert, select

from keyless.server.store import tables
from keyless.server.store.admin.change import Change

KEEP_SECONDS: Final = 24 * 3600
_PURGE_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered the first time. `request_hash` tells whether it was the same request."""

    request_hash: bytes
    status: int
    headers: Mapping[str, str]
    content: dict[str, object]


def find(change: Change, principal_id: str, key: str) -> KeptAnswer | None:
    """Return the answer kept under a principal's key, or `None`."""
    table = tables.idempotent_answer
    query = select(table).where(
        table.c.principal_id == principal_id, table.c.key == key, table.c.expires_at > change.at
    )
    if (row := change.connection.execute(query).first()) is None:
        return None
    return KeptAnswer(row.request_hash, row.status, json.loads(row.headers), json.loads(row.body))


def keep(change: Change, principal_id: str, key: str, answer: KeptAnswer) -> None:
    """Keep an answer for a day, in the transaction that did what it tells of."""
    table = tables.idempotent_answer
    connection = change.connection
    connection.execute(delete(table).where(table.c.principal_id == principal_id, table.c.key == key))
    old = select(table.c.principal_id, table.c.key).where(table.c.expires_at <= change.at).limit(_PURGE_ROWS)
    for row in connection.execute(old).all():
        connection.execute(delete(table).where(table.c.principal_id == row.principal_id, table.c.key == row.key))
    connection.execute(
        insert(table).values(
            principal_id=principal_id,
            key=key,
            request_hash=answer.request_hash,
            status=answer.status,
            headers=json.dumps(dict(answer.headers)),
            body=json.dumps(answer.content),
            expires_at=change.at + KEEP_SECONDS,
        )
    )
