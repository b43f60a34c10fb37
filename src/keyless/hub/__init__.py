"""A small, honest hub: real repositories on disk, served to the unmodified `hf` client (D25).

A demonstration and a test bed for the verifier, not the product. Each idea is a file: `store` (bytes, commits),
`identity` (who asks), `access` (who may), `errors` (how it says no), `api` (the endpoints), `routes`, `app`.
Needs Starlette (extra `server`).
"""

from __future__ import annotations

from keyless.hub.app import Hub, create_hub
from keyless.hub.errors import HubError
from keyless.hub.identity import AccessToken, TokenVerifier
from keyless.hub.store import HubStore

__all__ = ["AccessToken", "Hub", "HubError", "HubStore", "TokenVerifier", "create_hub"]
