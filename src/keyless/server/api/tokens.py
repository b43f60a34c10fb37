"""Issued access tokens: which are live, and ending one. What is shown is the record; nobody has the token itself."""

from __future__ import annotations

from typing import Final

from keyless.errors import ConfigurationError
from keyless.resource import parse_resource
from keyless.server.api.call import Answer, Call, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import ProblemError, not_found
from keyless.server.representations.fields import Text
from keyless.server.representations.token import TokenRecord, token_json
from keyless.server.store import Store
from keyless.server.store.admin import token_list


class TokenQuery(PageQuery):
    """Ask for the live tokens of a publisher or a resource; or, without either, for the latest of all."""

    publisher: Text | None = None
    resource: Text | None = None


class Tokens:
    """Show and revoke tokens.

    Args:
        store: Revokes; the resource servers learn of it from there.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, call: Call) -> Answer:
        """Return a page of tokens."""
        query: TokenQuery = call.query
        if query.publisher is None and query.resource is None:
            return self._latest(call)
        publishers = _publishers(call)
        after = decode_cursor(query.after, str, int, str)
        with call.administration.reading() as connection:
            found = token_list.live(
                connection, publishers, now=call.administration.now(), after=after, limit=query.limit + 1
            )
        last = found[query.limit - 1] if len(found) > query.limit else None
        following = None if last is None else encode_cursor([last.publisher_id, last.expires_at, last.jti])
        return Answer(200, page_json([token_json(item) for item in found[: query.limit]], following))

    def _latest(self, call: Call) -> Answer:
        query: TokenQuery = call.query
        if not call.signed_in.reads_everything:
            raise ProblemError(
                403, "forbidden", "name a publisher or a resource: you may not look into every namespace"
            )
        after = decode_cursor(query.after, str)
        with call.administration.reading() as connection:
            found = token_list.latest(
                connection, before=None if after is None else str(after[0]), limit=query.limit + 1
            )
        following = encode_cursor([found[query.limit - 1].jti]) if len(found) > query.limit else None
        return Answer(200, page_json([token_json(item) for item in found[: query.limit]], following))

    def show(self, call: Call) -> Answer:
        """Return one token's record."""
        return Answer(200, token_json(_find(call)))

    def revoke(self, call: Call) -> Answer:
        """End a token at once; one that was revoked before stays so."""
        found = _find(call, to_change=True)
        self._store.revoke_token(
            found.jti,
            reason="revoked by a person",
            request_id=call.caller.request_id,
            actor=call.signed_in.principal.actor,
        )
        return Answer(204, None)

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation(
                id="listTokens", method="GET", path="/tokens", handler=self.list, access=Access.READ, query=TokenQuery
            ),
            Operation(id="showToken", method="GET", path=_ONE, handler=self.show, access=Access.READ),
            Operation(id="revokeToken", method="DELETE", path=_ONE, handler=self.revoke, access=Access.CHANGE),
        )


_ONE: Final = "/tokens/{jti}"


def _publishers(call: Call) -> set[str]:
    """Return the ids of the publishers that are asked about and the caller's to see."""
    query: TokenQuery = call.query
    found: set[str] | None = None
    if query.resource is not None:
        resource = parse_resource(query.resource)
        call.may_see(resource.namespace)
        found = {publisher.id for publisher in call.administration.publishers(resource)}
    if query.publisher is not None:
        try:
            publisher = call.administration.publisher(query.publisher)
        except ConfigurationError:
            raise not_found() from None
        call.may_see(publisher.resource.namespace)
        found = {publisher.id} if found is None else found & {publisher.id}
    return found or set()


def _find(call: Call, *, to_change: bool = False) -> TokenRecord:
    with call.administration.reading() as connection:
        found = token_list.find(connection, call.path["jti"])
    if found is None:
        raise not_found()
    namespace = parse_resource(found.resource).namespace
    if to_change:
        call.may_change(namespace)
    else:
        call.may_see(namespace)
    return found
