"""An identity provider on loopback: real keys, real HTTP, and every way to be wrong on request.

It signs people in by itself: what a browser would do there is one call. It is strict about all that a client owes it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus, urlsplit

from keyless.testing import FakeIssuer
from keyless.testing.loopback import send_json

CLIENT: Final = "keyless+pages%20"  # to survive RFC 6749 section 2.3.1
SECRET: Final = "s3cret/+ %"


@dataclass
class Grant:
    """What a code stands for."""

    asked: Mapping[str, str]
    claims: Mapping[str, Any]
    used: bool = False


@dataclass
class Ways:
    """How the provider answers, to be changed by a test."""

    without_iss: bool = False
    fault: str | None = None
    status: int | None = None
    without_at_hash: bool = False
    token: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)


class FakeProvider(FakeIssuer):
    """Serve discovery, keys and a token endpoint."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock=clock)
        self.ways = Ways()
        self.grants: dict[str, Grant] = {}
        self.requests: list[str] = []

    def discovery_document(self) -> dict[str, object]:
        """Return the document of a provider for people."""
        return {
            **super().discovery_document(),
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/logout",
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
            **self.ways.document,
        }

    def authorize(self, url: str, /, *, sub: str = "24400320", **claims: Any) -> dict[str, str]:
        """Sign somebody in, as the page at that address would; return what the browser brings back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query, strict_parsing=True).items()}
        assert url.startswith(f"{self.url}/authorize?")
        assert asked["client_id"] == CLIENT
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        # A person who has a session here proves nothing anew unless asked to.
        proven = self.clock() if asked.get("prompt") == "login" else self.clock() - 30
        self.grants[code] = Grant(asked, {"sub": sub, "nonce": asked["nonce"], "auth_time": int(proven), **claims})
        answer = {"code": code, "state": asked["state"], "iss": self.url}
        if self.ways.without_iss:
            del answer["iss"]
        return answer

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve the token endpoint, and what every issuer serves."""
        self.requests.append(handler.path)
        if handler.path != "/token":
            super().answer(handler)
            return
        if self.ways.status is not None:
            send_json(handler, self.ways.status, {"error": "temporarily_unavailable"})
            return
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        status, content = self._redeem({n: v[0] for n, v in parse_qs(body).items()}, handler.headers["Authorization"])
        send_json(handler, status, content)

    def _redeem(self, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(name), unquote_plus(secret)) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        grant = self.grants.get(form.get("code", ""))
        if grant is None or grant.used or form.get("redirect_uri") != grant.asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        grant.used = True
        access_token = secrets.token_urlsafe(16)
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims: dict[str, Any] = {"aud": CLIENT, "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode()}
        token = self.mint({**claims, **grant.claims}, **self.ways.token)
        return 200, {"access_token": access_token, "token_type": "Bearer", "id_token": token}


def payload_of(token: str) -> dict[str, Any]:
    """Return a token's claims, unverified."""
    part = token.split(".")[1]
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert isinstance(found, dict)
    return found
