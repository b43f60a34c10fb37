"""The verifier of a hub or registry: one object, made once, asked for every request."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol, Self

from keyless.errors import ConfigurationError, ExpiredTokenError, InsufficientScopeError
from keyless.jose.jwk import KeySet
from keyless.resource import Resource
from keyless.verifier.access_token import PREFIXES, VerifiedAccessToken, unverified_key_id, verify_access_token
from keyless.verifier.documents import fetch_document
from keyless.verifier.keys import Fetch, KeyCache

MAX_REMEMBERED: Final = 1024  # tokens whose signature need not be computed again; about 1 kB each

_log: Final = logging.getLogger(__name__)


class LiveCheck(Protocol):
    """The seam to the token service's live state; `keyless.verifier.Introspection` is one."""

    def check(self, token: str, verified: VerifiedAccessToken, /) -> VerifiedAccessToken:
        """Return the token, perhaps with fewer operations, or raise a `TokenError` or an `UnavailableError`."""

    def close(self) -> None:
        """Let go of connections."""


class Verifier:
    """Verify access tokens of one token service for one resource server. Safe to share between threads.

    Live by default (D5): after the signature, the service is asked whether the token still stands, so a revocation
    and the removal of a publisher count at once. `unsafe_offline=True` asks nobody: a revoked token is then accepted
    until its lifetime ends, up to one hour.

    Args:
        issuer: The token service's public URL, exactly as its tokens say it.
        audience: The name of this resource server in tokens.
        introspection: The live check.
        unsafe_offline: Go without one: a token stays valid up to its lifetime after revocation.
        fetch: Fetches the key set; by default over HTTP.
        clock: Unix seconds.
        prefixes: The token prefixes that may occur.

    Raises:
        ConfigurationError: Neither a live check nor `unsafe_offline`, or both; an empty name.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        introspection: LiveCheck | None = None,
        unsafe_offline: bool = False,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.time,
        prefixes: Sequence[str] = PREFIXES,
    ) -> None:
        if not issuer or issuer.endswith("/") or not audience or not prefixes or not all(prefixes):
            raise ConfigurationError("a verifier needs an issuer (without trailing slash), an audience and prefixes")
        if introspection is None and not unsafe_offline:
            raise ConfigurationError(
                "a verifier needs `introspection`, so that revoked tokens are refused",
                hint="Without it, pass unsafe_offline=True: a token is then good up to its lifetime after revocation.",
            )
        if introspection is not None and unsafe_offline:
            raise ConfigurationError("`introspection` and `unsafe_offline` exclude each other")
        if unsafe_offline:
            _log.warning("access tokens of %s are verified offline: revoked ones are good until they expire", issuer)
        self.issuer: Final = issuer
        self.audience: Final = audience
        self._live: Final = introspection
        self._clock: Final = clock
        self._prefixes: Final = tuple(prefixes)
        self._keys: Final = KeyCache(f"{issuer}/oauth/jwks", fetch or fetch_document)
        self._remembered: Final[OrderedDict[bytes, tuple[KeySet, VerifiedAccessToken]]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def verify(self, token: str) -> VerifiedAccessToken:
        """Return what a token says, if it is genuine, meant for us, in time and not revoked. Blocks.

        Raises:
            TokenError: It is not acceptable; answer 401 with `invalid_token` (RFC 6750 section 3.1).
            UnavailableError: That cannot be known now; answer 503 with `Retry-After`.
        """
        verified = self._verify_proof(token)
        # Never remembered: a revocation must count at the next request.
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
        if self._live is not None:
            self._live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _verify_proof(self, token: str) -> VerifiedAccessToken:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()  # the token itself is not kept
        with self._lock:
            remembered = self._remembered.get(digest)
        now = self._clock()
        if remembered is not None:
            keys, verified = remembered
            if now >= verified.expires_at:
                raise ExpiredTokenError("the token expired", claim="exp")
            if self._keys.get(verified.kid) is keys:  # a fetched set may have lost the key, or hold another of that id
                return verified
        keys = self._keys.get(unverified_key_id(token, self._prefixes))
        verified = verify_access_token(
            token, keys=keys, issuer=self.issuer, audience=self.audience, prefixes=self._prefixes, now=now
        )
        with self._lock:
            self._remembered[digest] = keys, verified
            self._remembered.move_to_end(digest)
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return verified
