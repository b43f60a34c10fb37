"""The exchange: a proven CI identity in, a short-lived token for one target out (RFC 8693).

    read request -> verify id token -> match publishers -> sign -> commit (claim + token + audit) -> answer

No token leaves before its replay claim, token row and audit row are durable together (D14), and nothing in a token
makes us send a request (S01).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from keyless.errors import (
    ClaimError,
    NoMatchingPublisherError,
    ReplayedTokenError,
    UnavailableError,
    UntrustedIssuerError,
)
from keyless.issuers import Profile, profile_for
from keyless.issuers.profile import Attributes, as_text
from keyless.jose.jwk import PublicKey
from keyless.jose.signing import SigningKey
from keyless.oidc.id_token import (
    LEEWAY_SECONDS,
    REPLAY_MARGIN_SECONDS,
    UnverifiedIdToken,
    VerifiedIdToken,
    read_unverified,
    verify_id_token,
)
from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.resource import Resource
from keyless.secret import Secret
from keyless.server.services.refusals import RefusalBudget
from keyless.server.services.token_request import ACCESS_TOKEN_TYPE, TokenRequest, printable
from keyless.server.store.grants import Grant, Outcome, Refusal, Verdict
from keyless.server.store.ids import new_jti
from keyless.trust.match import Mismatch, judge_all
from keyless.trust.match import Verdict as PublisherVerdict
from keyless.trust.publisher import Operation, Publisher
from keyless.verifier.access_token import ACCESS_TOKEN_TYP, access_token_claims

MAX_TOKEN_TTL_SECONDS: Final = 3600  # D7
MAX_KEY_FETCH_WAITERS: Final = 128  # four times what the key cache lets one issuer hold
_MAX_MATCH_ATTEMPTS: Final = 3  # a publisher edited between match and commit is matched again, not refused (D16)
_MAX_CLAIM_CHARS: Final = 512  # of one claim value in the audit


class PublisherStore(Protocol):
    """What the exchange reads; the answers are as new as the last committed change of any process (D4)."""

    def issuer_by_url(self, url: str) -> Issuer | None:
        """Return the issuer of exactly that URL."""

    def publishers(self, resource: Resource, issuer_id: int) -> tuple[Publisher, ...]:
        """Return the usable publishers of a resource for one issuer."""

    def resource_of_publisher(self, publisher_id: str) -> Resource | None:
        """Return the resource of a publisher, for callers that name the publisher (D22)."""


class KeySource(Protocol):
    """Where issuers' keys come from; see `keyless.oidc.jwks_cache`."""

    def peek(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...] | None:
        """Return keys at hand without waiting, or `None`."""

    def resolve(self, issuer: Issuer, kid: str) -> tuple[PublicKey, ...]:
        """Return keys, fetching if need be; blocks."""


class Committer(Protocol):
    """What makes rows durable; see `keyless.server.services.group_commit`."""

    async def submit(self, row: Grant | Refusal) -> Outcome:
        """Commit one row."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Say who sent a request, for the audit's contact table only."""

    request_id: str
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """Hold the answer of a successful exchange. `expires_in` is in seconds."""

    access_token: Secret
    expires_in: int
    scope: str
    publisher_id: str
    resource: Resource
    issued_token_type: str = ACCESS_TOKEN_TYPE


class ExchangeService:
    """Exchange CI id tokens for access tokens.

    Args:
        public_url: Our `iss`, and the one audience that id tokens must carry (D19).
        store: Issuers and publishers.
        keys: Issuers' key sets.
        committer: Makes grants durable.
        signing_key: Returns the key that signs now.
        token_ttl_seconds: Lifetime where the publisher sets none (D7).
        leeway_seconds: Clock difference tolerated (V11).
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        public_url: str,
        store: PublisherStore,
        keys: KeySource,
        committer: Committer,
        signing_key: Callable[[], SigningKey],
        token_ttl_seconds: int = MAX_TOKEN_TTL_SECONDS,
        leeway_seconds: int = LEEWAY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._public_url = public_url
        self._store = store
        self._keys = keys
        self._committer = committer
        self._signing_key = signing_key
        self._token_ttl_seconds = min(token_ttl_seconds, MAX_TOKEN_TTL_SECONDS)
        self._leeway_seconds = leeway_seconds
        self._clock = clock
        self._refusals = RefusalBudget(clock=clock)
        # As many threads as may wait: each issuer holds at most a part of them, so a slow one starves no other (T30).
        self._key_threads = ThreadPoolExecutor(MAX_KEY_FETCH_WAITERS, thread_name_prefix="keyless-keys")
        self._key_waiters = 0

    async def exchange(self, request: TokenRequest, caller: Caller) -> IssuedToken:
        """Exchange one id token.

        Raises:
            TokenError: The id token is not acceptable; subclasses say why.
            NoMatchingPublisherError: It is genuine, and nothing trusts it with the resource.
            ReplayedTokenError: It was exchanged before, as often as its issuer's rule allows.
            UnavailableError: We cannot tell, because something we depend on is down. Nothing was granted.
        """
        unverified = read_unverified(request.subject_token.reveal())
        issuer = self._store.issuer_by_url(unverified.unverified_issuer)
        if issuer is None or not issuer.enabled:
            raise UntrustedIssuerError("the token's issuer is not trusted here")
        profile = profile_for(issuer.kind)
        keys = await self._issuer_keys(issuer, unverified.unverified_kid)
        try:
            token = verify_id_token(
                unverified,
                issuer=issuer,
                keys=keys,
                audience=self._public_url,
                now=self._clock(),
                leeway_seconds=self._leeway_seconds,
                required_claims=profile.required_claims,
            )
            attributes = profile.attributes(token.claims)
        except ClaimError as error:  # raised only after the signature proved good: worth an audit row (D15)
            await self._record_refusal(error.code, unverified, issuer, profile, request, caller, [f"{error}"])
            raise
        for _attempt in range(_MAX_MATCH_ATTEMPTS):
            issued, mode, outcome = await self._match_and_commit(
                token, attributes, unverified, profile, request, caller
            )
            match outcome.verdict:
                case Verdict.GRANTED:
                    return issued
                case Verdict.REPLAYED:
                    raise _replayed(mode, outcome, self._clock())
                case Verdict.PUBLISHER_CHANGED:
                    continue
                case Verdict.FAILED | Verdict.RECORDED:
                    raise UnavailableError("the store could not keep this exchange", retry_after=5)
        raise UnavailableError("the publisher is being changed right now", retry_after=1)

    async def _issuer_keys(self, issuer: Issuer, kid: str) -> Sequence[PublicKey]:
        if (keys := self._keys.peek(issuer, kid)) is not None:
            return keys
        if self._key_waiters >= MAX_KEY_FETCH_WAITERS:
            raise UnavailableError("too many exchanges wait for issuers' keys", retry_after=5)
        self._key_waiters += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._key_threads, self._keys.resolve, issuer, kid)
        finally:
            self._key_waiters -= 1

    async def _match_and_commit(
        self,
        token: VerifiedIdToken,
        attributes: Attributes,
        unverified: UnverifiedIdToken,
        profile: Profile,
        request: TokenRequest,
        caller: Caller,
    ) -> tuple[IssuedToken, ReplayMode, Outcome]:
        now = int(self._clock())
        resource = request.resource
        if resource is None and request.publisher_id is not None:
            resource = self._store.resource_of_publisher(request.publisher_id)
        publishers: tuple[Publisher, ...] = ()
        if resource is not None:
            publishers = self._store.publishers(resource, token.issuer.id)
        if request.publisher_id is not None:
            publishers = tuple(p for p in publishers if p.id == request.publisher_id)
        verdicts = judge_all(publishers, attributes, token, profile, now)
        if resource is None or not verdicts or not verdicts[0].accepted:
            error = _no_match(resource, request, verdicts, profile, token)
            await self._record_refusal(error.code, unverified, token.issuer, profile, request, caller, error.reasons)
            raise error
        chosen = verdicts[0]
        publisher = chosen.publisher
        operations = _narrowed(publisher.operations, request.scope)
        ttl_seconds = min(publisher.ttl_seconds or self._token_ttl_seconds, MAX_TOKEN_TTL_SECONDS)
        jti = new_jti(now)
        scope = " ".join(operations)
        access_token = self._sign(token, publisher, resource, jti, operations, now, now + ttl_seconds)
        mode = publisher.replay or token.issuer.replay
        grant = Grant(
            jti=jti,
            publisher_id=publisher.id,
            publisher_version=publisher.version,
            issuer_id=token.issuer.id,
            replay_key=token.replay_key,
            replay_mode=mode,
            replay_expires_at=token.expires_at + self._leeway_seconds + REPLAY_MARGIN_SECONDS,
            resource=str(resource),
            scope=scope,
            audience=publisher.audience,
            ci_subject=token.subject,
            issued_at=now,
            expires_at=now + ttl_seconds,
            first_use_pins=dict(chosen.first_use_pins),
            request_id=caller.request_id,
            claims=_audit_claims(token.claims, profile),
            address=caller.address,
            user_agent=caller.user_agent,
        )
        outcome = await self._committer.submit(grant)
        return IssuedToken(access_token, ttl_seconds, scope, publisher.id, resource), mode, outcome

    def _sign(
        self,
        token: VerifiedIdToken,
        publisher: Publisher,
        resource: Resource,
        jti: str,
        operations: Sequence[Operation],
        issued_at: int,
        expires_at: int,
    ) -> Secret:
        claims = access_token_claims(
            issuer=self._public_url,
            audience=publisher.audience,
            publisher_id=publisher.id,
            jti=jti,
            issued_at=issued_at,
            expires_at=expires_at,
            resource=resource,
            operations=operations,
            ci_issuer=token.issuer.url,
            ci_subject=token.subject,
            prefix=publisher.token_prefix,
        )
        return Secret(publisher.token_prefix + self._signing_key().sign(claims, typ=ACCESS_TOKEN_TYP))

    async def _record_refusal(
        self,
        reason: str,
        unverified: UnverifiedIdToken,
        issuer: Issuer,
        profile: Profile,
        request: TokenRequest,
        caller: Caller,
        details: Sequence[str],
    ) -> None:
        """Keep a refusal that follows a good signature: one row, within the identity's budget (D15)."""
        claims = unverified.unverified_claims
        identity = "/".join(str(as_text(claims.get(name))) for name in profile.required_pins(issuer))
        if not self._refusals.spend(issuer.id, identity):
            return
        await self._committer.submit(
            Refusal(
                reason=reason,
                issuer_id=issuer.id,
                resource=str(request.resource) if request.resource is not None else None,
                ci_subject=_safe_text(as_text(claims.get("sub")) or ""),
                request_id=caller.request_id,
                claims=_audit_claims(claims, profile),
                at=int(self._clock()),
                details=tuple(_safe_text(detail) for detail in details),
                address=caller.address,
                user_agent=caller.user_agent,
            )
        )

    def close(self) -> None:
        """Stop the threads that fetch keys."""
        self._key_threads.shutdown(wait=False, cancel_futures=True)


def _narrowed(operations: Sequence[Operation], asked: frozenset[str]) -> tuple[Operation, ...]:
    """Return the publisher's operations, or those of them that the caller asked for (RFC 6749 section 3.3)."""
    wanted = tuple(operation for operation in operations if operation.value in asked)
    return wanted or tuple(operations)  # words we do not know are ignored; the answer's `scope` says what was given


def _safe_text(text: str) -> str:
    """Return text that cannot forge a line or carry half a character into the store (T18)."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:_MAX_CLAIM_CHARS])


def _audit_claims(claims: Mapping[str, object], profile: Profile) -> dict[str, str]:
    return {
        name: _safe_text(text) for name in profile.subject_claims if (text := as_text(claims.get(name))) is not None
    }


def _replayed(mode: ReplayMode, outcome: Outcome, now: float) -> ReplayedTokenError:
    when = f" {max(0.0, now - outcome.first_used_at):.0f} s ago" if outcome.first_used_at is not None else ""
    if mode is ReplayMode.COUNTED:
        return ReplayedTokenError(f"this id token was first exchanged{when} and has been used as often as is allowed")
    return ReplayedTokenError(
        f"this id token was already exchanged{when}. Each exchange needs a fresh one: let the client mint it (unset"
        " HF_OIDC_ID_TOKEN and give the job 'permissions: id-token: write'), or let the owner of the publisher set"
        " its replay to 'counted'"
    )


def _no_match(
    resource: Resource | None,
    request: TokenRequest,
    verdicts: Sequence[PublisherVerdict],
    profile: Profile,
    token: VerifiedIdToken,
) -> NoMatchingPublisherError:
    """Say what differs: to everyone the caller's own claims, to the proven owner also which of them (D12, T94, T95)."""
    # Who named a publisher is told of it, not of its resource: an id must not tell what it belongs to (T94).
    target = request.publisher_id or (resource.short if resource is not None else "")
    own = {name: text for name in profile.subject_claims if (text := as_text(token.claims.get(name))) is not None}
    shown = ", ".join(f"{name} {printable(own[name])}" for name in list(own)[:8]) or f"sub {printable(token.subject)}"
    message = f"no trusted publisher of {printable(target)} accepts this id token, which says: {shown}"
    if (nearest := next((v for v in verdicts if v.owner_proven), None)) is not None:
        differing = ", ".join(_differs(item) for item in nearest.mismatches)
        message = f"{message}. Not accepted by your publisher {nearest.publisher.id}: {differing}"
    reasons = [
        f"{verdict.publisher.id}: {item.claim} is {item.received!r}, expected {item.expected}"
        for verdict in verdicts
        for item in verdict.mismatches
    ]
    return NoMatchingPublisherError(message, reasons=reasons or ["no publisher of this resource for this issuer"])


def _differs(item: Mismatch) -> str:
    return f"{item.claim} {printable(item.received)}" if item.received is not None else f"{item.claim} (absent)"
