"""Repositories on disk: real bytes, whole commits, and nothing lost by a restart.

`HubStore` holds the repositories of one directory. All of it is synchronous; the API calls it in worker threads.
"""

from __future__ import annotations

from keyless.hub.store.hub_store import HubStore

__all__ = ["HubStore"]
