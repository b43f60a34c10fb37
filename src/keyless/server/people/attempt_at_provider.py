"""One attempt to sign in at an identity provider: what goes through the browser, and what stays. Pure.

All of it is derived from the secret of one cookie, so that nothing but its hash is stored, and so that an answer of the
provider is worth nothing in another browser (RFC 6749 section 10.12, RFC 7636, OpenID Connect Core 1.0 section 15.5.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final, Self

from keyless.secret import Secret

ATTEMPT_SECONDS: Final = 10 * 60  # to find the password and the second factor in
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Hold the secret of an attempt; 256 random bits."""

    cookie: Secret

    @classmethod
    def new(cls) -> Self:
        """Begin an attempt."""
        return cls(Secret(secrets.token_urlsafe(32)))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the attempt of a cookie's text, or `None` when it cannot be one."""
        return cls(Secret(text)) if _COOKIE.fullmatch(text) else None

    @property
    def digest(self) -> bytes:
        """Return what is stored of it."""
        return hashlib.sha256(self.cookie.reveal().encode("ascii")).digest()

    @property
    def state(self) -> str:
        """Return what comes back beside the code: it ties the answer to this browser."""
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        """Return what comes back inside the id token: it ties the token to this attempt."""
        return self._derived(b"nonce")

    @property
    def code_verifier(self) -> Secret:
        """Return what only we can show with the code (PKCE)."""
        return Secret(self._derived(b"code_verifier"))

    def fits_state(self, text: str) -> bool:
        """Compare with what came back, in constant time."""
        return hmac.compare_digest(self.state.encode("ascii"), text.encode("utf-8", "surrogateescape"))

    def _derived(self, what: bytes) -> str:
        made = hmac.new(self.cookie.reveal().encode("ascii"), what, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode("ascii")
