"""The store: what is on the disk, and the one transaction that mints.

`open_store` gives the object the running service uses; `keyless.server.store.admin` changes trust.
"""

from keyless.server.store.grants import Grant, Outcome, Refusal, TokenState, Verdict
from keyless.server.store.ids import new_jti
from keyless.server.store.records import ResourceServer, SigningKeyRow
from keyless.server.store.store import Store, open_store

__all__ = [
    "Grant",
    "Outcome",
    "Refusal",
    "ResourceServer",
    "SigningKeyRow",
    "Store",
    "TokenState",
    "Verdict",
    "new_jti",
    "open_store",
]
