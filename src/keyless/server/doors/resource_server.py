"""Who asks inside: a resource server, by its name and credential (RFC 7617; T106)."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Protocol

from keyless.secret import Secret
from keyless.server.doors.http import Scope, Send, header, send_json
from keyless.server.services.rate_limit import RateLimit
from keyless.server.services.trail import Caller


class ResourceServers(Protocol):
    """Who may ask."""

    def resource_server_audience(self, name: str, credential: Secret) -> str | None:
        """Return the audience of the resource server with this name and credential, or `None`."""


class ResourceServerGate:
    """Let resource servers in, and slow down whoever tries credentials out.

    Args:
        servers: Knows credentials.
        strangers: How often an address may be wrong.
    """

    def __init__(self, servers: ResourceServers, strangers: RateLimit) -> None:
        self._servers = servers
        self._strangers = strangers

    async def admit(self, scope: Scope, caller: Caller) -> str | None:
        """Return the audience of the resource server that sent a request, or `None`.

        Raises:
            RateLimitedError: It is nobody, too often.
            UnavailableError: The store cannot tell.
        """
        audience = await asyncio.to_thread(self._authenticate, header(scope, b"authorization"))
        if audience is None:
            self._strangers.spend(caller.address)
        return audience

    def _authenticate(self, authorization: str) -> str | None:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, credential = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
        return self._servers.resource_server_audience(name, Secret(credential))


async def refuse_stranger(send: Send, *, request_id: str) -> None:
    """Answer whoever is not a resource server."""
    await send_json(
        send,
        401,
        {"error": "invalid_client", "error_description": "the resource server's credential is wrong"},
        request_id=request_id,
        headers=[(b"www-authenticate", b'Basic realm="keyless resource servers"')],
    )
