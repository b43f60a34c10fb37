"""The service's own signing keys, as a list: what signs, what is still published. Private parts are never shown."""

from __future__ import annotations

from keyless.server.api.call import Answer, Call, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.representations.signing_key import signing_key_json
from keyless.server.services.keys import ACCESS_TOKEN_PURPOSE
from keyless.server.store import SigningKeyRow, Store


class SigningKeyList:
    """Show signing keys.

    Args:
        store: Has their rows.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, call: Call) -> Answer:
        """Return a page of them, the newest last; there are a handful, whatever the service does."""
        query: PageQuery = call.query
        after = decode_cursor(query.after, int, str)
        rows = sorted(self._store.signing_keys(ACCESS_TOKEN_PURPOSE), key=_key)
        left = [row for row in rows if after is None or _key(row) > after]
        following = encode_cursor(_key(left[query.limit - 1])) if len(left) > query.limit else None
        return Answer(200, page_json([signing_key_json(row) for row in left[: query.limit]], following))

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation(
                id="listSigningKeys",
                method="GET",
                path="/signing-keys",
                handler=self.list,
                access=Access.READ,
                query=PageQuery,
            ),
        )


def _key(row: SigningKeyRow) -> tuple[int, str]:
    return row.created_at, row.kid
