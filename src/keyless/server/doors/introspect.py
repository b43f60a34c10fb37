"""`POST /oauth/introspect`: a resource server asks whether a token is good right now (RFC 7662).

On the inside listener only. A resource server learns of tokens that are meant for itself; any other is `active: false`
(T106).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Protocol

from keyless.errors import RequestError
from keyless.secret import Secret
from keyless.server.doors.errors import ErrorProfile, send_error
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.services.live import LiveTokens
from keyless.server.services.token_request import MAX_BODY_BYTES, read_members
from keyless.verifier.access_token import VerifiedAccessToken


class ResourceServers(Protocol):
    """Who may ask."""

    def resource_server_audience(self, name: str, credential: Secret) -> str | None:
        """Return the audience of the resource server with this name and credential, or `None`."""


class IntrospectDoor:
    """Authenticate the resource server, then answer with what stands in the store."""

    def __init__(self, live: LiveTokens, servers: ResourceServers, *, profile: ErrorProfile) -> None:
        self._live = live
        self._servers = servers
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST."""
        caller = caller_of(scope)
        try:
            body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)
            audience = await asyncio.to_thread(self._authenticate, header(scope, b"authorization"))
            if audience is None:
                await send_json(
                    send,
                    401,
                    {"error": "invalid_client", "error_description": "the resource server's credential is wrong"},
                    request_id=caller.request_id,
                    headers=[(b"www-authenticate", b'Basic realm="keyless introspection"')],
                )
                return
            token = read_members(header(scope, b"content-type"), body).get("token")
            if not token:
                raise RequestError("the parameter token is missing")
            verified = await asyncio.to_thread(self._live.introspect, token, audience=audience)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_error(send, error, self._profile, audience="", request_id=caller.request_id)
            return
        content = {"active": False} if verified is None else _active(verified)
        await send_json(send, 200, content, request_id=caller.request_id)

    def _authenticate(self, authorization: str) -> str | None:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, credential = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
        return self._servers.resource_server_audience(name, Secret(credential))


def _active(token: VerifiedAccessToken) -> dict[str, object]:
    return {
        "active": True,
        "token_type": "Bearer",
        "iss": token.issuer,
        "aud": token.audience,
        "sub": token.subject,
        "client_id": token.publisher_id,
        "jti": token.jti,
        "iat": token.issued_at,
        "exp": token.expires_at,
        "resource": str(token.resource),
        "scope": " ".join(sorted(token.operations)),
        "ci_iss": token.ci_issuer,
        "ci_sub": token.ci_subject,
        **({"also": sorted(str(resource) for resource in token.also)} if token.also else {}),
    }
