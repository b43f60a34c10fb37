"""The service's own signing keys, as a list: what signs, what is still published. Private parts are never shown."""

from __future__ import annotations

from keyless.server.api.call import Answer, Call, page_json
from keyless.server.api.operation import Access, Operation
from keyless.server.representations.signing_key import signing_key_json
from keyless.server.services.keys import ACCESS_TOKEN_PURPOSE
from keyless.server.store import Store


class SigningKeyList:
    """Show signing keys.

    Args:
        store: Has their rows.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, call: Call) -> Answer:
        """Return all of them: there are a handful, whatever the service does."""
        del call
        rows = self._store.signing_keys(ACCESS_TOKEN_PURPOSE)
        return Answer(200, page_json([signing_key_json(row) for row in rows], None))

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation(id="listSigningKeys", method="GET", path="/signing-keys", handler=self.list, access=Access.READ),
        )
