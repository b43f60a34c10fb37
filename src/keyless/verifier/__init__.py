"""For hubs and registries: is this access token good, and for what?

`Verifier` is the door; `Introspection` and `Feed` are its live checks; `ResourceStates` says which resources take no
stored tokens. Standard library and `cryptography` only (extra `verifier`); nothing here imports the token service or a
web framework.
"""

from __future__ import annotations

from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.feed import Feed
from keyless.verifier.introspection import Introspection
from keyless.verifier.resource_states import ResourceStates
from keyless.verifier.verifier import Verifier

__all__ = ["Feed", "Introspection", "ResourceStates", "VerifiedAccessToken", "Verifier"]
