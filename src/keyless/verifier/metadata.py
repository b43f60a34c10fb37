"""What a resource server says about itself: protected resource metadata (RFC 9728). Pure.

A client that knows the resource alone finds the token service through it, and compares `resource` with what it asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


def protected_resource_metadata(
    resource: str, issuer: str, *, scopes: Sequence[str] = ("read", "write", "create")
) -> dict[str, object]:
    """Return the document to serve as JSON at `metadata_url(resource)` (RFC 9728 section 2).

    Args:
        resource: The resource server's own URL, without trailing slash: its audience.
        issuer: The token service's public URL.
        scopes: The operations there are.
    """
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
    }


def metadata_url(resource: str) -> str:
    """Return where the document is: the well-known path goes between host and path (RFC 9728 section 3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"
