"""Proving an id token: issuer lookup, keys, signature and claims. The one way in for the exchange and for explain.

Three steps, because each may end in another answer: `identify` picks the issuer's record (nothing in a token makes us
send a request, S01), the keys are fetched or waited for, and only then is anything the token says believed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol

from keyless.errors import UnavailableError, UntrustedIssuerError
from keyless.issuers import Profile, profile_for
from keyless.issuers.profile import Attributes
from keyless.jose.jwk import PublicKey
from keyless.oidc.id_token import (
    LEEWAY_SECONDS,
    UnverifiedIdToken,
    VerifiedIdToken,
    read_unverified,
    verify_id_token,
)
from keyless.oidc.issuer import Issuer

MAX_KEY_FETCH_WAITERS: Final = 128  # four times what the key cache lets one issuer hold


class IssuerSource(Protocol):
    """Where issuers are looked up; the answers are as new as the last committed change of any process (D4)."""

    def issuer_by_url(self, url: str) -> Issuer | None:
        """Return the issuer of exactly that URL."""


class KeySource(Protocol):
    """Where issuers' keys come from; see `keyless.oidc.jwks_cache`."""

    def peek(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...] | None:
        """Return keys at hand without waiting, or `None`."""

    def resolve(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...]:
        """Return keys, fetching if need be; blocks."""


class Candidate(NamedTuple):
    """Hold a token of which nothing is proven yet, beside the record of the issuer it names."""

    unverified: UnverifiedIdToken
    issuer: Issuer
    profile: Profile


class ProvenIdentity(NamedTuple):
    """Hold a proven token and what conditions compare of it.

    `pinned_part` is the ids that tell this identity from others of its issuer, as one text, for budgets (T105).
    """

    token: VerifiedIdToken
    attributes: Attributes
    profile: Profile
    pinned_part: str


class IdTokenVerification:
    """Verify CI id tokens against the configured issuers.

    Args:
        audience: The one audience that id tokens must carry: our public URL (D19).
        issuers: The configured issuers.
        keys: Their key sets.
        fixed_audiences: Issuer URL -> the audience of its tokens, which the operator accepts because nobody can choose
            another one.
        leeway_seconds: Clock difference tolerated (V11).
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        audience: str,
        issuers: IssuerSource,
        keys: KeySource,
        fixed_audiences: Mapping[str, str] | None = None,
        leeway_seconds: int = LEEWAY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.leeway_seconds = leeway_seconds
        self._audience = audience
        self._fixed_audiences = dict(fixed_audiences or {})
        self._issuers = issuers
        self._keys = keys
        self._clock = clock
        # As many threads as may wait: each issuer holds at most a part of them, so a slow one starves no other (T30).
        self._key_threads = ThreadPoolExecutor(MAX_KEY_FETCH_WAITERS, thread_name_prefix="keyless-keys")
        self._key_waiters = 0
        self._asked: dict[tuple[int, str], asyncio.Future[tuple[PublicKey, ...]]] = {}  # bounded by the threads

    def identify(self, token: str) -> Candidate:
        """Read which issuer a token names and find its record. Proves nothing.

        Raises:
            MalformedTokenError: It has not the shape of an id token.
            UntrustedIssuerError: The issuer is not configured, or switched off.
        """
        unverified = read_unverified(token)
        issuer = self._issuers.issuer_by_url(unverified.unverified_issuer)
        if issuer is None or not issuer.enabled:
            raise UntrustedIssuerError("the token's issuer is not trusted here")
        return Candidate(unverified, issuer, profile_for(issuer.kind))

    async def prove(self, candidate: Candidate, *, audiences: Sequence[str] = ()) -> ProvenIdentity:
        """Prove signature, times, audience and claims; see `prove_with`.

        Raises:
            ClaimError: A claim is not acceptable. Raised only after the signature proved good.
            TokenError: The token is not its issuer's.
            UnavailableError: We cannot tell, because the issuer's keys cannot be had now.
        """
        return self.prove_with(await self.keys_of(candidate), candidate, audiences=audiences)

    def prove_with(
        self, keys: Sequence[PublicKey], candidate: Candidate, *, audiences: Sequence[str] = ()
    ) -> ProvenIdentity:
        """Prove signature, times, audience and claims with the issuer's keys at hand.

        Args:
            keys: From `peek_keys` or `keys_of`.
            candidate: From `identify`.
            audiences: What the token may be meant for at a door of its own; our public URL when empty.

        Raises:
            ClaimError: A claim is not acceptable. Raised only after the signature proved good.
            TokenError: The token is not its issuer's.
            UnavailableError: Our clock is known to be off.
        """
        unverified, issuer, profile = candidate
        token = verify_id_token(
            unverified,
            issuer=issuer,
            keys=keys,
            # Where the platform lets nobody choose the audience, it is that one and no other (T43).
            audience=self._fixed_audiences.get(issuer.url)
            or profile.fixed_audience
            or _meant(candidate, audiences or (self._audience,)),
            now=self._clock(),
            leeway_seconds=self.leeway_seconds,
            required_claims=profile.required_claims,
        )
        attributes = profile.attributes(token.claims)
        pinned_part = "/".join([attributes.get(name, "") for name in profile.required_pins(issuer)])
        return ProvenIdentity(token, attributes, profile, pinned_part)

    def peek_keys(self, candidate: Candidate) -> Sequence[PublicKey] | None:
        """Return the issuer's keys of the token's `kid` when they are at hand; else `keys_of` has to be waited for."""
        return self._keys.peek(candidate.issuer, candidate.unverified.unverified_kid)

    async def keys_of(self, candidate: Candidate) -> Sequence[PublicKey]:
        """Return the issuer's keys of the token's `kid`, fetching them if need be.

        Raises:
            TokenError: The issuer has no such key.
            UnavailableError: They cannot be had now.
        """
        return await self._issuer_keys(candidate.issuer, candidate.unverified.unverified_kid)

    async def _issuer_keys(self, issuer: Issuer, kid: str) -> Sequence[PublicKey]:
        if (keys := self._keys.peek(issuer, kid)) is not None:
            return keys
        # A burst of one job matrix after a start, or after a rotation, asks for one key: it takes one thread.
        asked = self._asked.get((issuer.id, kid))
        if asked is not None and asked.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([asked])
            if (keys := self._keys.peek(issuer, kid)) is not None:
                return keys
            if not asked.cancelled() and isinstance(error := asked.exception(), UnavailableError):
                raise UnavailableError(f"{error}", retry_after=error.retry_after)
            # It was not published, said a fetch that may have begun before this token came (K06): ask once more.
        return await self._ask(issuer, kid)

    async def _ask(self, issuer: Issuer, kid: str) -> Sequence[PublicKey]:
        if self._key_waiters >= MAX_KEY_FETCH_WAITERS:
            raise UnavailableError("too many exchanges wait for issuers' keys", retry_after=5)
        self._key_waiters += 1
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._key_threads, self._keys.resolve, issuer, kid)
        self._asked[issuer.id, kid] = asked
        asked.add_done_callback(lambda done: self._answered(issuer.id, kid, done))
        return await asyncio.shield(asked)  # whoever goes away leaves the answer to the others

    def _answered(self, issuer_id: int, kid: str, asked: asyncio.Future[tuple[PublicKey, ...]]) -> None:
        self._key_waiters -= 1
        if self._asked.get((issuer_id, kid)) is asked:
            del self._asked[issuer_id, kid]
        if not asked.cancelled():
            asked.exception()  # seen, also when nobody waits any more

    def close(self) -> None:
        """Stop the threads that fetch keys."""
        self._key_threads.shutdown(wait=False, cancel_futures=True)


def _meant(candidate: Candidate, audiences: Sequence[str]) -> str:
    """Return which of a door's audiences a token is checked against: the one it names, else the first."""
    if len(audiences) == 1:
        return audiences[0]
    named = candidate.unverified.unverified_claims.get("aud")
    return next((audience for audience in audiences[1:] if named in (audience, [audience])), audiences[0])
