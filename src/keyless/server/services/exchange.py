"""The exchange: a proven CI identity in, a short-lived token for one target out (RFC 8693).

    read request -> verify id token -> match publishers -> sign -> commit (claim + token + audit) -> answer

No token leaves before its replay claim, token row and audit row are durable together (D14), and nothing in a token
makes us send a request (S01).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from keyless.errors import (
    ClaimError,
    LockedError,
    NoMatchingPublisherError,
    RateLimitedError,
    ReplayedTokenError,
    RequestError,
    TooManyTokensError,
    UnavailableError,
)
from keyless.jose.signing import SigningKey
from keyless.oidc.id_token import REPLAY_MARGIN_SECONDS, VerifiedIdToken
from keyless.oidc.issuer import ReplayMode
from keyless.resource import HUB_TYPES, Resource
from keyless.secret import Secret
from keyless.server.metrics import Metrics
from keyless.server.services.rate_limit import RateLimit
from keyless.server.services.selection import PublisherSource, Selection, reasons_of, replay_of, select_publishers
from keyless.server.services.terms import Terms
from keyless.server.services.token_request import ACCESS_TOKEN_TYPE, TokenRequest, printable
from keyless.server.services.trail import Caller, ExchangeTrail, proven_claims
from keyless.server.services.verification import Candidate, IdTokenVerification, ProvenIdentity
from keyless.server.store.grants import Covered, Grant, Outcome, Verdict
from keyless.server.store.ids import new_jti
from keyless.trust.match import Mismatch
from keyless.trust.publisher import Operation, Publisher
from keyless.verifier.access_token import ACCESS_TOKEN_TYP, access_token_claims

MAX_TOKEN_TTL_SECONDS: Final = 3600  # D7
_MAX_MATCH_ATTEMPTS: Final = 3  # a publisher edited between match and commit is matched again, not refused (D16)


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """Hold what a publisher may have where it says nothing of its own; 0 is any number (T78, T117)."""

    max_live_tokens: int = 0
    revoke_oldest: bool = False
    max_grants_per_hour: int = 0


@dataclass(frozen=True, slots=True)
class ExchangeRates:
    """Hold how often one address may ask before its token is looked at, and one identity after (T105)."""

    by_address: RateLimit
    by_identity: RateLimit


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """Hold the answer of a successful exchange. `expires_in` is in seconds, `expires_at` Unix seconds.

    `also` is how many packages it is for besides `resource`.
    """

    access_token: Secret
    expires_in: int
    scope: str
    publisher_id: str
    resource: Resource
    expires_at: int
    also: int = 0
    issued_token_type: str = ACCESS_TOKEN_TYPE


class ExchangeService:
    """Exchange CI id tokens for access tokens.

    Args:
        public_url: Our `iss`, and the one audience that id tokens must carry (D19).
        store: Publishers.
        verification: Proves id tokens.
        trail: Makes grants durable, and keeps the rows of refusals.
        signing_key: Returns the key that signs now.
        token_ttl_seconds: Lifetime where the publisher sets none (D7).
        limits: Of publishers that set none.
        rates: How often one address and one identity may ask; as often as they like when `None`.
        metrics: What to count in.
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        public_url: str,
        store: PublisherSource,
        verification: IdTokenVerification,
        trail: ExchangeTrail,
        signing_key: Callable[[], SigningKey],
        token_ttl_seconds: int = MAX_TOKEN_TTL_SECONDS,
        limits: PublisherLimits = PublisherLimits(),
        rates: ExchangeRates | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._public_url = public_url
        self._hub = Terms(door="hub", audiences=(public_url,), resource_types=HUB_TYPES, ttl_seconds=token_ttl_seconds)
        self._store = store
        self._verification = verification
        self._trail = trail
        self._signing_key = signing_key
        self._limits = limits
        self._rates = rates or ExchangeRates(RateLimit(0, 0), RateLimit(0, 0))
        self._metrics = metrics or Metrics()
        self._clock = clock

    async def exchange(self, request: TokenRequest, caller: Caller, terms: Terms | None = None) -> IssuedToken:
        """Exchange one id token.

        Args:
            request: What is presented, and for which target.
            caller: Who sent it.
            terms: Of the door it came to; the hub's own when `None`.

        Raises:
            RequestError: The target is not of a type that this door serves.
            RateLimitedError: The address or the identity asks too often.
            TokenError: The id token is not acceptable; subclasses say why.
            NoMatchingPublisherError: It is genuine, and nothing trusts it with the resource.
            ReplayedTokenError: It was exchanged before, as often as its issuer's rule allows.
            TooManyTokensError: The publisher has as many live tokens as it may. The id token stays unused.
            UnavailableError: We cannot tell, because something we depend on is down. Nothing was granted.
        """
        terms = terms or self._hub
        if request.resource is not None and request.resource.type not in terms.resource_types:
            raise RequestError(f"tokens for {request.resource} are not handed out at this endpoint")
        began = perf_counter()
        if caller.address is not None:
            self._limit("address", self._rates.by_address, caller.address)
        candidate = self._verification.identify(request.subject_token.reveal())
        try:
            identity = await self._verification.prove(candidate, audiences=terms.audiences)
        except ClaimError as error:  # raised only after the signature proved good: worth an audit row (D15)
            await self._trail.record(error.code, candidate, request, caller, [f"{error}"])
            raise
        self._limit("identity", self._rates.by_identity, (candidate.issuer.id, identity.pinned_part))
        self._metrics.steps.observe(perf_counter() - began, "verify")
        for _attempt in range(_MAX_MATCH_ATTEMPTS):
            issued, mode, outcome = await self._match_and_commit(identity, candidate, request, caller, terms)
            match outcome.verdict:
                case Verdict.GRANTED:
                    self._metrics.steps.observe(perf_counter() - began, "total")
                    return issued
                case Verdict.REPLAYED:
                    raise _replayed(mode, outcome, self._clock())
                case Verdict.TOO_MANY_TOKENS:
                    raise _too_many(outcome, self._clock())
                case Verdict.PUBLISHER_CHANGED:
                    continue
                case Verdict.FAILED | Verdict.RECORDED:
                    raise UnavailableError("the store could not keep this exchange", retry_after=5)
        raise UnavailableError("the publisher is being changed right now", retry_after=1)

    def _limit(self, by: str, rate: RateLimit, asking: Hashable) -> None:
        try:
            rate.spend(asking)
        except RateLimitedError:
            self._metrics.limited.add(by)
            raise

    async def _match_and_commit(
        self, identity: ProvenIdentity, candidate: Candidate, request: TokenRequest, caller: Caller, terms: Terms
    ) -> tuple[IssuedToken, ReplayMode, Outcome]:
        now, observe = int(self._clock()), self._metrics.steps.observe
        token = identity.token
        began = perf_counter()
        try:
            selection = select_publishers(self._store, request, identity, now=now)
        except LockedError as locked:
            await self._trail.record(locked.code, candidate, request, caller)
            raise
        resource, chosen = selection.resource, selection.accepted
        if resource is None or chosen is None or resource.type not in terms.resource_types:
            error = _no_match(selection, request, identity)
            await self._trail.record(error.code, candidate, request, caller, error.reasons)
            raise error
        publisher = chosen.publisher
        operations = _narrowed(publisher.operations, request.scope)
        try:
            companions = selection.companions if request.resource_type is not None else ()
        except NoMatchingPublisherError as error:
            await self._trail.record(error.code, candidate, request, caller, [f"{error}"])
            raise
        together = (publisher, *companions)
        matched = perf_counter()
        observe(matched - began, "match")
        ttl_seconds = min([_ttl_seconds(p, terms, now) for p in together])
        jti = new_jti(now)
        scope = " ".join(operations)
        also = [(companion.resource, companion.id) for companion in companions]
        access_token = self._sign(token, publisher, resource, also, jti, operations, now, now + ttl_seconds)
        signed = perf_counter()
        observe(signed - matched, "sign")
        mode = replay_of(together, terms.replay or token.issuer.replay)
        window = self._trail.reserve(identity)
        grant = Grant(
            jti=jti,
            publisher_id=publisher.id,
            publisher_version=publisher.version,
            issuer_id=token.issuer.id,
            replay_key=token.replay_key,
            replay_mode=mode,
            replay_expires_at=token.expires_at + self._verification.leeway_seconds + REPLAY_MARGIN_SECONDS,
            resource=str(resource),
            scope=scope,
            audience=publisher.audience,
            ci_subject=token.subject,
            issued_at=now,
            expires_at=now + ttl_seconds,
            also=tuple(Covered(str(p.resource), p.id, p.version, p.pending_until is not None) for p in companions),
            first_use_pins=dict(chosen.first_use_pins),
            pending=publisher.pending_until is not None,
            max_live_tokens=_own(_least([p.max_live_tokens for p in together]), self._limits.max_live_tokens),
            revoke_oldest=self._limits.revoke_oldest,
            keep_refusal=window is not None,
            max_grants_per_hour=_own(
                _least([p.max_grants_per_hour for p in together]), self._limits.max_grants_per_hour
            ),
            request_id=caller.request_id,
            claims=proven_claims(identity),
            address=caller.address,
            user_agent=caller.user_agent,
        )
        outcome = await self._trail.submit(grant, identity, window)
        observe(perf_counter() - signed, "commit")
        issued = IssuedToken(access_token, ttl_seconds, scope, publisher.id, resource, now + ttl_seconds, len(also))
        return issued, mode, outcome

    def _sign(
        self,
        token: VerifiedIdToken,
        publisher: Publisher,
        resource: Resource,
        also: Sequence[tuple[Resource, str]],
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
            also=also,
        )
        return Secret(publisher.token_prefix + self._signing_key().sign(claims, typ=ACCESS_TOKEN_TYP))


def _narrowed(operations: Sequence[Operation], asked: frozenset[str]) -> tuple[Operation, ...]:
    """Return the publisher's operations, or those of them that the caller asked for (RFC 6749 section 3.3)."""
    wanted = tuple(operation for operation in operations if operation.value in asked)
    return wanted or tuple(operations)  # words we do not know are ignored; the answer's `scope` says what was given


def _ttl_seconds(publisher: Publisher, terms: Terms, now: int) -> int:
    """Return how long a publisher's token lives.

    Never longer than the publisher: who checks it offline is told by no event that the publisher's time came.
    """
    ttl_seconds = min(MAX_TOKEN_TTL_SECONDS, publisher.ttl_seconds or terms.ttl_seconds)
    return ttl_seconds if publisher.expires_at is None else min(ttl_seconds, publisher.expires_at - now)


def _least(caps: Sequence[int | None]) -> int | None:
    """Return the strictest cap of publishers that grant together; `None` where none has one, 0 is any number."""
    if len(caps) == 1:
        return caps[0]
    own = [cap for cap in caps if cap is not None]
    return min((cap for cap in own if cap), default=0) if own else None


def _own(value: int | None, default: int) -> int:
    return default if value is None else value


def _too_many(outcome: Outcome, now: float) -> TooManyTokensError:
    return TooManyTokensError(
        "the trusted publisher has as many live tokens as it may; it gets one more when one of them ends or is revoked",
        retry_after=max(1.0, (outcome.room_at or now) - now),
    )


def _replayed(mode: ReplayMode, outcome: Outcome, now: float) -> ReplayedTokenError:
    when = f" {max(0.0, now - outcome.first_used_at):.0f} s ago" if outcome.first_used_at is not None else ""
    if mode is ReplayMode.COUNTED:
        return ReplayedTokenError(f"this id token was first exchanged{when} and has been used as often as is allowed")
    return ReplayedTokenError(
        f"this id token was already exchanged{when}. Each exchange needs a fresh one: let the client mint it (unset"
        " HF_OIDC_ID_TOKEN and give the job 'permissions: id-token: write'), or let the owner of the publisher set"
        " its replay to 'counted'"
    )


def _no_match(selection: Selection, request: TokenRequest, identity: ProvenIdentity) -> NoMatchingPublisherError:
    """Say what differs: to everyone the caller's own claims, to the proven owner also which of them (D12, T94, T95)."""
    token, resource = identity.token, selection.resource
    # Who named a publisher is told of it, not of its resource: an id must not tell what it belongs to (T94).
    target = request.publisher_id or request.resource_type or (resource.short if resource is not None else "")
    said = proven_claims(identity)
    shown = ", ".join(f"{name} {printable(said[name])}" for name in list(said)[:8])
    message = f"no trusted publisher of {printable(target)} accepts this id token"
    # What differs comes first: whoever cuts a long message must not cut the one thing its reader needs.
    if (nearest := next((v for v in selection.verdicts if v.owner_proven), None)) is not None:
        differing = ", ".join(_differs(item) for item in nearest.mismatches)
        message = f"{message}; your publisher {nearest.publisher.id} wants something else for {differing}"
    message = f"{message}. The token says: {shown or 'sub ' + printable(token.subject)}"
    return NoMatchingPublisherError(message, reasons=reasons_of(selection))


def _differs(item: Mismatch) -> str:
    return f"{item.claim} {printable(item.received)}" if item.received is not None else f"{item.claim} (absent)"
