"""Is an access token of ours good right now: introspection (RFC 7662) and revocation (RFC 7009).

The signature says that we made the token; the store says whether it still stands. The lookup is by the verified `jti`,
never by the token's spelling (D5).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from keyless.errors import RevokedTokenError, TokenError
from keyless.jose.jwk import KeySet
from keyless.server.store.grants import TokenState
from keyless.verifier.access_token import VerifiedAccessToken, verify_access_token


class TokenStore(Protocol):
    """What is asked of the store."""

    def token_state(self, jti: str) -> TokenState | None:
        """Return what stands in the row of a token, or `None`."""

    def revoke_token(self, jti: str, *, reason: str, request_id: str) -> bool:
        """Revoke a token durably; false when there is none, or it was revoked before."""


class LiveTokens:
    """Look up and withdraw our own access tokens.

    Args:
        public_url: Our `iss`.
        prefixes: The token prefixes in use.
        keys: Returns the key set we publish.
        store: Token rows.
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        public_url: str,
        prefixes: Callable[[], tuple[str, ...]],
        keys: Callable[[], KeySet],
        store: TokenStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._public_url = public_url
        self._prefixes = prefixes
        self._keys = keys
        self._store = store
        self._clock = clock

    def check(self, token: str, *, audience: str) -> VerifiedAccessToken:
        """Return the token if it is good for this resource server at this moment (V20, T106).

        Raises:
            TokenError: It is not.
            UnavailableError: The store cannot tell.
        """
        verified = self._verify(token, audience)
        state = self._store.token_state(verified.jti)
        if state is None or not state.live:
            raise RevokedTokenError("the token was withdrawn")
        return verified.narrowed_to(state.operations.split(" "))  # a publisher that was narrowed narrows its tokens

    def introspect(self, token: str, *, audience: str) -> VerifiedAccessToken | None:
        """Return the token as `check` does, or `None` whatever is wrong with it (RFC 7662 section 2.2).

        Raises:
            UnavailableError: The store cannot tell.
        """
        try:
            return self.check(token, audience=audience)
        except TokenError:
            return None

    def revoke(self, token: str, *, request_id: str, audience: str | None = None) -> bool:
        """Withdraw a token; whoever holds it may (RFC 7009 section 2). True when this call did it.

        Args:
            token: The token.
            request_id: Names the request in the audit.
            audience: The resource server it must be meant for; any when `None`.

        Raises:
            UnavailableError: The store cannot write.
        """
        try:
            verified = self._verify(token, audience)
        except TokenError:
            return False
        return self._store.revoke_token(verified.jti, reason="revoked by its holder", request_id=request_id)

    def _verify(self, token: str, audience: str | None) -> VerifiedAccessToken:
        return verify_access_token(
            token,
            keys=self._keys(),
            issuer=self._public_url,
            audience=audience,
            prefixes=self._prefixes(),
            now=self._clock(),
        )
