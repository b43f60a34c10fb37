"""Live tokens: what is out there right now, and taking one back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyless.errors import ResourceSyntaxError
from keyless.resource import namespace_of, parse_resource
from keyless.server.store.admin import token_list
from keyless.server.ui.listing import PAGE_ROWS, next_url
from keyless.server.ui.visit import Answer, Html, See, Visit, not_found


def show_all(visit: Visit) -> Answer:
    """List the tokens that are good now, those that end first leading."""
    visit.reader  # noqa: B018 - a stranger is asked to sign in
    with visit.administration.reading() as connection:
        rows = token_list.ending(
            connection,
            namespaces=visit.reader.readable_namespaces,
            now=visit.now,
            after=_after(visit.query.get("after", "")),
            limit=PAGE_ROWS + 1,
        )
    last = rows[PAGE_ROWS - 1] if len(rows) > PAGE_ROWS else None
    more = None if last is None else next_url(visit, f"{last.expires_at}:{last.jti}")
    shown = [(row, visit.reader.may_change(namespace_of(row.resource) or "")) for row in rows[:PAGE_ROWS]]
    return Html("tokens.html", {"rows": shown, "more": more})


def revoke(visit: Visit) -> Answer:
    """Take one token back."""
    with visit.administration.reading() as connection:
        found = token_list.find(connection, visit.path["jti"])
    if found is None:
        raise not_found()
    try:
        resource = parse_resource(found.resource)
    except ResourceSyntaxError:
        raise not_found() from None
    changer = visit.may_change(resource.namespace)
    visit.store.revoke_token(
        found.jti, reason="revoked_by_owner", request_id=visit.caller.request_id, actor=changer.principal.actor
    )
    return See("/tokens")


def _after(text: str) -> tuple[int, str] | None:
    end, _, jti = text.partition(":")
    return (int(end), jti) if end.isascii() and end.isdecimal() and len(end) < 16 else None


PAGES: Final[Mapping[str, Mapping[str, Callable[[Visit], Answer]]]] = {
    "/tokens": {"GET": show_all},
    "/tokens/{jti}/revoke": {"POST": revoke},
}
