"""Issuers: whose id tokens are believed, and what of their keys. Everybody signed in may look, admins change."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from keyless.oidc.issuer import Issuer
from keyless.server.api.call import Answer, Call, etag_of, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import not_found
from keyless.server.representations.fields import Closed, Url
from keyless.server.representations.issuer import issuer_json, issuer_keys_json
from keyless.server.representations.new_issuer import IssuerDescription, PinnedKeysDescription, pinned_keys
from keyless.server.store import Store
from keyless.server.store.admin.issuers import MAX_DISTRUSTED

_LARGEST_ID: Final = 2**31 - 1


class IssuerQuery(PageQuery):
    """Ask for issuers, or for the one of a URL."""

    url: Url | None = None


class IssuerChange(Closed):
    """Say what changes; what is left out stays, and `pinned_keys: null` believes what is published again."""

    enabled: bool | None = None
    distrusted_kids: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=MAX_DISTRUSTED)] | None
    ) = None
    pinned_keys: PinnedKeysDescription | None = None


class Issuers:
    """Show and change issuers.

    Args:
        store: Knows which keys an issuer had.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, call: Call) -> Answer:
        """Return a page of issuers."""
        query: IssuerQuery = call.query
        after = decode_cursor(query.after, int)
        found = call.administration.issuer_page(
            url=query.url, after=None if after is None else int(after[0]), limit=query.limit + 1
        )
        following = encode_cursor([found[query.limit - 1].id]) if len(found) > query.limit else None
        return Answer(200, page_json([issuer_json(item) for item in found[: query.limit]], following))

    def add(self, call: Call) -> Answer:
        """Add an issuer."""
        body: IssuerDescription = call.body
        return _shown(call.administration.add_issuer(body.new_issuer()), status=201)

    def show(self, call: Call) -> Answer:
        """Return one issuer."""
        return _shown(_find(call))

    def change(self, call: Call) -> Answer:
        """Switch an issuer on or off, distrust keys, pin keys."""
        body: IssuerChange = call.body
        with call.administration.together():
            found = _find(call)
            call.check_match(etag_of(issuer_json(found)))
            if body.enabled is not None:
                found = call.administration.set_issuer_enabled(found.url, enabled=body.enabled)
            if body.distrusted_kids is not None:
                wanted = frozenset(body.distrusted_kids)
                for kid in sorted(found.distrusted_kids ^ wanted):
                    found = call.administration.set_issuer_key_trusted(found.url, kid, trusted=kid not in wanted)
            if "pinned_keys" in body.model_fields_set:
                found = call.administration.pin_issuer_keys(found.url, pinned_keys(body.pinned_keys))
        return _shown(found)

    def show_keys(self, call: Call) -> Answer:
        """Return which keys an issuer had when it was last asked, and what is believed of them."""
        found = _find(call)
        return Answer(200, issuer_keys_json(found, self._store.issuer_keys(found.id).values()))

    def refresh_keys(self, call: Call) -> Answer:
        """Let every process fetch the keys anew before it believes the issuer's next token."""
        found = call.administration.refresh_issuer_keys(_find(call).url)
        return Answer(202, issuer_json(found))

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        one: Final = "/issuers/{issuer_id}"
        return (
            Operation(
                id="listIssuers",
                method="GET",
                path="/issuers",
                handler=self.list,
                access=Access.READ,
                query=IssuerQuery,
            ),
            Operation(
                id="addIssuer",
                method="POST",
                path="/issuers",
                handler=self.add,
                access=Access.ADMIN,
                body=IssuerDescription,
                creates=True,
                max_body_bytes=256 * 1024,
            ),
            Operation(id="showIssuer", method="GET", path=one, handler=self.show, access=Access.READ),
            Operation(
                id="changeIssuer",
                method="PATCH",
                path=one,
                handler=self.change,
                access=Access.ADMIN,
                body=IssuerChange,
                max_body_bytes=256 * 1024,
            ),
            Operation(
                id="showIssuerKeys", method="GET", path=f"{one}/keys", handler=self.show_keys, access=Access.READ
            ),
            Operation(
                id="refreshIssuerKeys",
                method="POST",
                path=f"{one}/keys/refresh",
                handler=self.refresh_keys,
                access=Access.ADMIN,
            ),
        )


def _find(call: Call) -> Issuer:
    text = call.path["issuer_id"]
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or not 0 < int(text) <= _LARGEST_ID:
        raise not_found()
    found = call.administration.issuer_page(after=int(text) - 1, limit=1)
    if not found or found[0].id != int(text):
        raise not_found()
    return found[0]


def _shown(issuer: Issuer, *, status: int = 200) -> Answer:
    content = issuer_json(issuer)
    headers = {"ETag": etag_of(content)}
    if status == 201:
        headers["Location"] = f"/api/v1/issuers/{issuer.id}"
    return Answer(status, content, headers)
