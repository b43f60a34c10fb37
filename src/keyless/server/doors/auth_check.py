"""`GET /auth/check`: a reverse proxy asks whether a request may go on (nginx `auth_request`, Caddy, Traefik).

On the inside listener only. 200 with who it is, 401 or 403 for the client, 407 for a proxy that is not known, 503 when
it cannot be told. No answer may be cached: a revocation counts at the next request.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from keyless.errors import Error, InsufficientScopeError, RequestError, TokenError, UnavailableError
from keyless.server.doors.http import Receive, Scope, Send, caller_of, send_json
from keyless.server.services.forward_auth import ForwardAuth, HeldRequest, MissingTokenError, UnknownProxyError
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.bearer import challenge
from keyless.verifier.metadata import metadata_url

PROXY_HEADER: Final = "x-keyless-proxy"
MAX_IDENTITY_CHARS: Final = 1024  # a proxy's buffer for all headers of an answer is 4 kB
_VISIBLE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")

_log = logging.getLogger("keyless.server")


class AuthCheckDoor:
    """Answer about one held request.

    Args:
        forward_auth: Decides.
        public_url: Our URL, whose protected resource metadata the challenge names (RFC 9728 section 5.1).
    """

    def __init__(self, forward_auth: ForwardAuth, *, public_url: str) -> None:
        self._forward_auth = forward_auth
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one GET."""
        del receive
        request_id = caller_of(scope).request_id
        status, headers, error = 200, [], None
        request = _held_request(scope)
        try:
            token = await asyncio.to_thread(self._forward_auth.check, request)
            headers = [] if token is None else _identity(token)
        except Exception as caught:  # noqa: BLE001 - whatever it is, the proxy gets an answer, and never 200
            error = caught
            status, headers = self._refusal(caught, request.audience, request_id)
        code = error.code if isinstance(error, Error) else "internal_error"
        content = {"status": "ok"} if error is None else {"error": "refused", "reason": code}
        if error is not None:
            headers.append((b"x-keyless-reason", code.encode("ascii")))
        await send_json(send, status, content, request_id=request_id, headers=headers)

    def _refusal(self, error: Exception, audience: str, request_id: str) -> tuple[int, list[tuple[bytes, bytes]]]:
        match error:
            case UnknownProxyError():
                _log.error("forward auth: %s (request %s)", error, request_id)
                return 407, [(b"proxy-authenticate", b"Keyless")]
            case RequestError():
                return 403, []
            case TokenError():
                status = 403 if isinstance(error, InsufficientScopeError) else 401
                named = None if isinstance(error, MissingTokenError) else error
                # Only for our own origin: what other resource servers publish is theirs to say.
                url = metadata_url(self._public_url) if audience == self._public_url else None
                text = challenge(named, metadata_url=url)
                return status, [(b"www-authenticate", text.encode("ascii"))]
            case UnavailableError(retry_after=seconds):
                return 503, [(b"retry-after", str(max(1, math.ceil(seconds))).encode("ascii"))]
            case _:
                _log.exception("request %s failed", request_id, exc_info=error)
                return 503, [(b"retry-after", b"5")]


def _held_request(scope: Scope) -> HeldRequest:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return HeldRequest(headers.get(PROXY_HEADER, ()), headers.get("authorization", ()), headers)


def _identity(token: VerifiedAccessToken) -> list[tuple[bytes, bytes]]:
    """Return who the token speaks for, for the upstream's log and its own rules. Not the token."""
    values: Iterable[tuple[str, str]] = (
        ("publisher", token.publisher_id),
        ("resource", str(token.resource)),
        ("also", " ".join(sorted(str(resource) for resource in token.also))),
        ("operations", " ".join(sorted(token.operations))),
        ("issuer", token.ci_issuer),
        ("subject", token.ci_subject),
        ("token-id", token.jti),
    )
    # Percent-encoded where it is not visible ASCII. Too long: absent rather than cut, which would be somebody else.
    encoded = [(name, quote(value, safe=_VISIBLE + " ")) for name, value in values]
    return [
        (f"x-keyless-{name}".encode("ascii"), value.encode("ascii"))
        for name, value in encoded
        if 0 < len(value) <= MAX_IDENTITY_CHARS
    ]
