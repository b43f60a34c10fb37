"""Who asks inside: a resource server, by its name and credential (RFC 7617; T106)."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from keyless.secret import Secret
from keyless.server.doors.http import Scope, Send, header, send_json


class ResourceServers(Protocol):
    """Who may ask."""

    def resource_server_audience(self, name: str, credential: Secret) -> str | None:
        """Return the audience of the resource server with this name and credential, or `None`."""


def authenticate(scope: Scope, servers: ResourceServers) -> str | None:
    """Return the audience of the resource server that sent a request, or `None`. Blocks."""
    scheme, _, encoded = header(scope, b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, credential = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return servers.resource_server_audience(name, Secret(credential))


async def refuse_stranger(send: Send, *, request_id: str) -> None:
    """Answer whoever is not a resource server."""
    await send_json(
        send,
        401,
        {"error": "invalid_client", "error_description": "the resource server's credential is wrong"},
        request_id=request_id,
        headers=[(b"www-authenticate", b'Basic realm="keyless resource servers"')],
    )
