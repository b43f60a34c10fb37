"""For hubs and registries: is this access token good, and for what?

`Verifier` is the door; `Introspection` is its live check. Standard library and `cryptography` only (extra
`verifier`); nothing here imports the token service or a web framework.
"""

from __future__ import annotations

from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.introspection import Introspection
from keyless.verifier.verifier import Verifier

__all__ = ["Introspection", "VerifiedAccessToken", "Verifier"]
