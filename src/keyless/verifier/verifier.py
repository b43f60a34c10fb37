"""The verifier of a hub or registry: one object, made once, asked for every request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol, Self

from keyless.errors import ConfigurationError, InsufficientScopeError
from keyless.resource import Resource
from keyless.verifier.access_token import PREFIXES, VerifiedAccessToken, prove_access_token, read_access_token
from keyless.verifier.documents import fetch_document
from keyless.verifier.feed import Feed
from keyless.verifier.keys import Fetch, KeyCache
from keyless.verifier.proven import ProvenTokens

_log: Final = logging.getLogger(__name__)


class LiveCheck(Protocol):
    """The seam to the token service's live state; `keyless.verifier.Introspection` is one."""

    def check(self, token: str, verified: VerifiedAccessToken, /) -> VerifiedAccessToken:
        """Return the token, perhaps with fewer operations, or raise a `TokenError` or an `UnavailableError`."""

    def close(self) -> None:
        """Let go of connections."""


class Verifier:
    """Verify access tokens of one token service for one resource server. Safe to share between threads.

    Live by default (D5), in one of two ways. With `introspection` the service is asked about each token, so a
    revocation and the removal of a publisher count at the next request. With `feed` it is asked every few seconds what
    was withdrawn, and a withdrawn token is refused within seconds, and within a minute at most. `unsafe_offline=True`
    asks nobody: a revoked token is then accepted until its lifetime ends, up to one hour.

    Args:
        issuer: The token service's public URL, exactly as its tokens say it.
        audience: The name of this resource server in tokens.
        introspection: The live check of each token.
        feed: The live check of all of them.
        unsafe_offline: Go without one: a token stays valid up to its lifetime after revocation.
        fetch: Fetches the key set; by default over HTTP.
        clock: Unix seconds.
        prefixes: The token prefixes that may occur.

    Raises:
        ConfigurationError: Not exactly one of `introspection`, `feed` and `unsafe_offline`; an empty name.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        introspection: LiveCheck | None = None,
        feed: Feed | None = None,
        unsafe_offline: bool = False,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.time,
        prefixes: Sequence[str] = PREFIXES,
    ) -> None:
        if not issuer or issuer.endswith("/") or not audience or not prefixes or not all(prefixes):
            raise ConfigurationError("a verifier needs an issuer (without trailing slash), an audience and prefixes")
        given = (introspection is not None) + (feed is not None) + unsafe_offline
        if given == 0:
            raise ConfigurationError(
                "a verifier needs `introspection` or `feed`, so that revoked tokens are refused",
                hint="Without it, pass unsafe_offline=True: a token is then good up to its lifetime after revocation.",
            )
        if given > 1:
            raise ConfigurationError("`introspection`, `feed` and `unsafe_offline` exclude each other")
        if unsafe_offline:
            _log.warning("access tokens of %s are verified offline: revoked ones are good until they expire", issuer)
        self.issuer: Final = issuer
        self.audience: Final = audience
        self._live: Final = introspection
        self._feed: Final = feed
        self._clock: Final = clock
        self._prefixes: Final = tuple(prefixes)
        self._keys: Final = KeyCache(f"{issuer}/oauth/jwks", fetch or fetch_document)
        self._proven: Final = ProvenTokens()

    def verify(self, token: str) -> VerifiedAccessToken:
        """Return what a token says, if it is genuine, meant for us, in time and not revoked. Blocks.

        Raises:
            TokenError: It is not acceptable; answer 401 with `invalid_token` (RFC 6750 section 3.1).
            UnavailableError: That cannot be known now; answer 503 with `Retry-After`.
        """
        remembered = self._proven
        if self._feed is not None and (withdrawals := self._feed.current()) is not remembered.withdrawals:
            remembered.catch_up(withdrawals, self._clock())
        found = remembered.by_token.get(token)
        # Another key set may lack the key, or hold another one of that id.
        if found is not None and self._clock() < found[1] and self._keys.get(found[0].kid) is found[2]:
            verified = found[0]
        else:
            if found is not None:
                remembered.forget(token)
            verified = self._prove(token)
        # Not remembered: with introspection a revocation counts at the next request.
        return verified if self._live is None else self._live.check(token, verified)

    def authorize(self, token: str, operation: str, resource: Resource) -> VerifiedAccessToken:
        """Verify a token and check that it may do one thing with one resource. Blocks.

        Raises:
            InsufficientScopeError: The token is good, but not for this; answer 403 with `insufficient_scope`.
            TokenError: As for `verify`.
            UnavailableError: As for `verify`.
        """
        verified = self.verify(token)
        if not verified.allows(operation, resource):
            raise InsufficientScopeError(f"the token is good for something else than to {operation} {resource}")
        return verified

    def close(self) -> None:
        """Close idle connections."""
        for live in (self._live, self._feed):
            if live is not None:
                live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _prove(self, token: str) -> VerifiedAccessToken:
        unverified = read_access_token(token, self._prefixes)
        keys = self._keys.get(unverified.kid)
        now = self._clock()
        verified = prove_access_token(unverified, keys=keys, issuer=self.issuer, audience=self.audience, now=now)
        return self._proven.add(token, verified, keys, now)
