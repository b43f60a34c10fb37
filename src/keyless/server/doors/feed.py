"""`GET /oauth/feed`: what was withdrawn since a cursor, for resource servers that check tokens offline (D5).

On the inside listener only. A resource server learns of tokens that are meant for itself, and of what can end them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from keyless.errors import RequestError
from keyless.server.doors.errors import ErrorProfile, send_error
from keyless.server.doors.http import Receive, Scope, Send, caller_of, send_json
from keyless.server.doors.resource_server import ResourceServerGate, refuse_stranger
from keyless.server.services.token_request import parse_form
from keyless.server.store.feed import FeedEntry, FeedPage

MAX_QUERY_BYTES = 256


class FeedStore(Protocol):
    """What is asked of the store."""

    def feed(self, audience: str, cursor: str | None) -> FeedPage:
        """Return a page of what was withdrawn since a cursor."""


class FeedDoor:
    """Authenticate the resource server, then answer with what is in the store."""

    def __init__(self, store: FeedStore, gate: ResourceServerGate, *, profile: ErrorProfile) -> None:
        self._store = store
        self._gate = gate
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one GET."""
        del receive
        caller = caller_of(scope)
        request_id = caller.request_id
        try:
            audience = await self._gate.admit(scope, caller)
            if audience is None:
                await refuse_stranger(send, request_id=request_id)
                return
            query = scope["query_string"]
            if len(query) > MAX_QUERY_BYTES:
                raise RequestError(f"the query is longer than {MAX_QUERY_BYTES} bytes")
            page = await asyncio.to_thread(self._store.feed, audience, parse_form(query).get("cursor"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_error(send, error, self._profile, audience="", request_id=request_id)
            return
        content = {
            "cursor": page.cursor,
            "snapshot": page.snapshot,
            "more": page.more,
            "entries": [entry_members(entry) for entry in page.entries],
        }
        await send_json(send, 200, content, request_id=request_id)


def entry_members(entry: FeedEntry) -> dict[str, object]:
    """Return an entry as it goes over the wire."""
    content: dict[str, object] = {"kind": entry.kind, "id": entry.subject, "live": entry.live}
    if entry.kind == "publisher" and entry.live:
        content |= {"resource": entry.resource, "scope": entry.operations}
        if entry.ends_at is not None:
            content["ends_at"] = entry.ends_at
    return content
