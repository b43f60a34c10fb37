"""`POST /oauth/introspect`: a resource server asks whether a token is good right now (RFC 7662).

On the inside listener only. A resource server learns of tokens that are meant for itself; any other is `active: false`
(T106). Who asks about such tokens all the time is slowed down; a good token is answered always.
"""

from __future__ import annotations

import asyncio

from keyless.errors import RequestError
from keyless.server.doors.errors import ErrorProfile, send_error
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.doors.resource_server import ResourceServerGate, refuse_stranger
from keyless.server.services.live import LiveTokens
from keyless.server.services.rate_limit import RateLimit
from keyless.server.services.token_request import MAX_BODY_BYTES, read_members
from keyless.verifier.access_token import VerifiedAccessToken


class IntrospectDoor:
    """Authenticate the resource server, then answer with what stands in the store.

    Args:
        live: Knows tokens.
        gate: Knows resource servers.
        fishing: How often a resource server may ask about a token that is not active for it (RFC 7662 section 4).
        profile: The OAuth codes of refusals.
    """

    def __init__(
        self, live: LiveTokens, gate: ResourceServerGate, *, fishing: RateLimit, profile: ErrorProfile
    ) -> None:
        self._live = live
        self._gate = gate
        self._fishing = fishing
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST."""
        caller = caller_of(scope)
        try:
            body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)
            audience = await self._gate.admit(scope, caller)
            if audience is None:
                await refuse_stranger(send, request_id=caller.request_id)
                return
            token = read_members(header(scope, b"content-type"), body).get("token")
            if not token:
                raise RequestError("the parameter token is missing")
            verified = await asyncio.to_thread(self._live.introspect, token, audience=audience)
            if verified is None:
                self._fishing.spend(audience)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_error(send, error, self._profile, audience="", request_id=caller.request_id)
            return
        content = {"active": False} if verified is None else _active(verified)
        await send_json(send, 200, content, request_id=caller.request_id)


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
