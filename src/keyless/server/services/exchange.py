"""The exchange: a proven CI identity in, a short-lived token for one target out (RFC 8693).

    read request -> verify id token -> match publishers -> sign -> commit (claim + token + audit) -> answer

No token leaves before its replay claim, token row and audit row are durable together (D14), and nothing in a token
makes us send a request (S01).
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, NamedTuple

from keyless.errors import (
    ClaimError,
    Error,
    LockedError,
    NoMatchingPublisherError,
    RateLimitedError,
    RequestError,
    UnavailableError,
)
from keyless.jose.jwk import PublicKey
from keyless.jose.signing import SigningKey
from keyless.oidc.id_token import REPLAY_MARGIN_SECONDS
from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.resource import HUB_TYPES, Resource
from keyless.secret import Secret
from keyless.server.metrics import Metrics
from keyless.server.services.exchange_refusals import no_match, replayed, too_many
from keyless.server.services.issuance import MAX_TOKEN_TTL_SECONDS, Issuance, PublisherLimits, issue
from keyless.server.services.rate_limit import RateLimit
from keyless.server.services.selection import PublisherSource, select_publishers
from keyless.server.services.terms import Terms
from keyless.server.services.token_request import ACCESS_TOKEN_TYPE, TokenRequest
from keyless.server.services.trail import Caller, ExchangeTrail, proven_claims
from keyless.server.services.verification import Candidate, IdTokenVerification, ProvenIdentity
from keyless.server.store.grants import Grant, Outcome, Verdict
from keyless.server.store.ids import new_jti
from keyless.trust.publisher import Publisher
from keyless.verifier.access_token import ACCESS_TOKEN_TYP

_MAX_MATCH_ATTEMPTS: Final = 3  # a publisher edited between match and commit is matched again, not refused (D16)


@dataclass(frozen=True, slots=True)
class ExchangeRates:
    """Hold how often one address may ask before its token is looked at, and one identity after (T105)."""

    by_address: RateLimit
    by_identity: RateLimit


class IssuedToken(NamedTuple):
    """Hold the answer of a successful exchange. `expires_in` is in seconds, `expires_at` Unix seconds.

    `also` is how many packages it is for besides `resource`, and `path` is the canonical spelling of that.
    """

    access_token: Secret
    expires_in: int
    scope: str
    publisher_id: str
    resource: Resource
    expires_at: int
    also: int = 0
    path: str = ""
    issued_token_type: str = ACCESS_TOKEN_TYPE


Answer = Callable[[IssuedToken | Exception], None]
"""Told what came of an exchange; must not raise."""


class ExchangeService:
    """Exchange CI id tokens for access tokens.

    Args:
        public_url: Our `iss`, and the one audience that id tokens must carry (D19).
        store: Publishers.
        verification: Proves id tokens.
        trail: Makes grants durable, and keeps the rows of refusals.
        signing_key: Returns the key that signs now.
        token_ttl_seconds: Lifetime where the publisher sets none (D7).
        limits: Of publishers that set none; none when `None`.
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
        limits: PublisherLimits | None = None,
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
        self._limits = limits or PublisherLimits()
        self._rates = rates or ExchangeRates(RateLimit(0, 0), RateLimit(0, 0))
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

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
        answer: asyncio.Future[IssuedToken] = asyncio.get_running_loop().create_future()
        self.begin(request, caller, functools.partial(_settle, answer), terms=terms, gone=answer.cancelled)
        return await answer

    def begin(
        self,
        request: TokenRequest,
        caller: Caller,
        answer: Answer,
        *,
        terms: Terms | None = None,
        gone: Callable[[], bool] | None = None,
    ) -> None:
        """Do what `exchange` does without a task of its own, and tell `answer` the token or the error (D17).

        What needs no waiting is done at once; only an issuer's keys that are not at hand and the row of a refusal are
        waited for in a task.

        Args:
            request: What is presented, and for which target.
            caller: Who sent it.
            answer: Told once, before this returns or in a later callback of the running loop.
            terms: Of the door it came to; the hub's own when `None`.
            gone: Tells whether the caller has gone away; then nothing is granted any more.
        """
        attempt = _Attempt(request, caller, answer, terms or self._hub, gone)
        try:
            terms = attempt.terms
            if request.resource is not None and request.resource.type not in terms.resource_types:
                raise RequestError(f"tokens for {request.resource} are not handed out at this endpoint")
            if caller.address is not None:
                self._limit("address", self._rates.by_address, caller.address)
            attempt.candidate = self._verification.identify(request.subject_token.reveal())
            keys = self._verification.peek_keys(attempt.candidate)
        except Exception as error:  # noqa: BLE001 - it is the caller's to hear
            answer(error)
            return
        if keys is None:
            self._spawn(self._wait_for_keys(attempt))
        else:
            self._prove(attempt, keys)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait_for_keys(self, attempt: _Attempt) -> None:
        try:
            keys = await self._verification.keys_of(attempt.candidate)
        except Exception as error:  # noqa: BLE001 - as above
            attempt.answer(error)
        else:
            self._prove(attempt, keys)

    async def _refuse(self, attempt: _Attempt, error: Error, details: Sequence[str]) -> None:
        """Keep the row of a refusal, then give it; the row comes first, or nobody could rely on it."""
        try:
            await self._trail.record(error.code, attempt.candidate, attempt.request, attempt.caller, details)
        except Exception as failure:  # noqa: BLE001 - as above
            attempt.answer(failure)
        else:
            attempt.answer(error)

    def _limit(self, by: str, rate: RateLimit, asking: Hashable) -> None:
        try:
            rate.spend(asking)
        except RateLimitedError:
            self._metrics.limited.add(by)
            raise

    def _prove(self, attempt: _Attempt, keys: Sequence[PublicKey]) -> None:
        candidate = attempt.candidate
        try:
            identity = self._verification.prove_with(keys, candidate, audiences=attempt.terms.audiences)
            self._limit("identity", self._rates.by_identity, (candidate.issuer.id, identity.pinned_part))
        except ClaimError as error:  # raised only after the signature proved good: worth an audit row (D15)
            self._spawn(self._refuse(attempt, error, [f"{error}"]))
        except Exception as error:  # noqa: BLE001 - as above
            attempt.answer(error)
        else:
            attempt.identity = identity
            attempt.proven = perf_counter()
            self._match_and_commit(attempt)

    def _match_and_commit(self, attempt: _Attempt) -> None:
        try:
            refusal = self._match(attempt)
        except Exception as error:  # noqa: BLE001 - as above
            attempt.answer(error)
            return
        if refusal is not None:
            self._spawn(self._refuse(attempt, *refusal))

    def _match(self, attempt: _Attempt) -> tuple[Error, Sequence[str]] | None:
        """Find the publisher, sign, and hand the grant over to be committed; return what to refuse instead, and why."""
        request, identity, terms = attempt.request, attempt.identity, attempt.terms
        now = int(self._clock())
        try:
            selection = select_publishers(self._store, request, identity, now=now)
        except LockedError as locked:
            return locked, ()
        resource, chosen = selection.resource, selection.accepted
        if resource is None or chosen is None or resource.type not in terms.resource_types:
            error = no_match(selection, request, identity)
            return error, error.reasons
        try:
            companions = selection.companions if request.resource_type is not None else ()
        except NoMatchingPublisherError as too_many_packages:
            return too_many_packages, [f"{too_many_packages}"]
        token, publisher = identity.token, chosen.publisher
        issuance = self._issuance(publisher, companions, terms, token.issuer)
        attempt.matched = perf_counter()
        jti, expires_at = new_jti(now), now + issuance.ttl_seconds(now)
        scope, write = issuance.narrowed_to(request.scope)
        key = self._signing_key()
        access_token = publisher.token_prefix + key.sign_payload(
            write(jti, now, expires_at, token.subject), typ=ACCESS_TOKEN_TYP
        )
        attempt.signed = perf_counter()
        attempt.mode, attempt.window = issuance.replay, self._trail.reserve(identity, now=now)
        attempt.issued = IssuedToken(
            Secret(access_token),
            expires_at - now,
            scope,
            publisher.id,
            resource,
            expires_at,
            len(companions),
            issuance.resource,
        )
        self._trail.put(
            Grant(
                jti=jti,
                publisher_id=publisher.id,
                publisher_version=publisher.version,
                issuer_id=token.issuer.id,
                replay_key=token.replay_key,
                replay_mode=issuance.replay,
                replay_expires_at=token.expires_at + self._verification.leeway_seconds + REPLAY_MARGIN_SECONDS,
                resource=issuance.resource,
                scope=scope,
                audience=publisher.audience,
                ci_subject=token.subject,
                issued_at=now,
                expires_at=expires_at,
                also=issuance.also,
                first_use_pins=chosen.first_use_pins,
                pending=publisher.pending_until is not None,
                max_live_tokens=issuance.max_live_tokens,
                revoke_oldest=self._limits.revoke_oldest,
                keep_refusal=attempt.window is not None,
                max_grants_per_hour=issuance.max_grants_per_hour,
                request_id=attempt.caller.request_id,
                claims=proven_claims(identity),
                address=attempt.caller.address,
                user_agent=attempt.caller.user_agent,
            ),
            functools.partial(self._committed, attempt),
            gone=attempt.gone,
        )
        return None

    def _committed(self, attempt: _Attempt, outcome: Outcome | Exception) -> None:
        try:
            result = self._result(attempt, outcome)
        except Exception as error:  # noqa: BLE001 - as above
            result = error
        if result is None:
            self._match_and_commit(attempt)
        else:
            attempt.answer(result)

    def _result(self, attempt: _Attempt, outcome: Outcome | Exception) -> IssuedToken | Exception | None:
        """Return what the caller gets, `None` when his publisher has changed meanwhile and is to be matched again."""
        verdict = None if isinstance(outcome, Exception) else outcome.verdict
        self._trail.settle(attempt.identity, attempt.window, kept=verdict not in (None, Verdict.GRANTED))
        if isinstance(outcome, Exception):
            return outcome
        match outcome.verdict:
            case Verdict.GRANTED:
                moments = (attempt.began, attempt.proven, attempt.matched, attempt.signed, perf_counter())
                self._metrics.exchange_took(moments)
                return attempt.issued
            case Verdict.REPLAYED:
                return replayed(attempt.mode, outcome, self._clock())
            case Verdict.TOO_MANY_TOKENS:
                return too_many(outcome, self._clock())
            case Verdict.PUBLISHER_CHANGED:
                attempt.tries += 1
                if attempt.tries < _MAX_MATCH_ATTEMPTS:
                    return None
                return UnavailableError("the publisher is being changed right now", retry_after=1)
            case Verdict.FAILED | Verdict.RECORDED:
                return UnavailableError("the store could not keep this exchange", retry_after=5)

    def _issuance(
        self,
        publisher: Publisher,
        companions: Sequence[Publisher],
        terms: Terms,
        issuer: Issuer,
    ) -> Issuance:
        """Return what tokens of these publishers have in common, kept beside the one that leads when it is alone."""
        if not companions:
            known: Issuance | None = publisher.memo.get("issuance")
            if known is not None and known.terms is terms and known.issuer is issuer:
                return known
        found = issue(publisher, companions, terms, issuer, self._limits, self._public_url)
        if not companions:
            publisher.memo["issuance"] = found
        return found


@dataclass(slots=True)
class _Attempt:
    """One exchange under way."""

    request: TokenRequest
    caller: Caller
    answer: Answer
    terms: Terms
    gone: Callable[[], bool] | None
    began: float = field(default_factory=perf_counter)
    tries: int = 0
    window: int | None = None
    mode: ReplayMode = ReplayMode.ONCE
    candidate: Candidate = field(init=False)
    identity: ProvenIdentity = field(init=False)
    proven: float = field(init=False)
    matched: float = field(init=False)
    signed: float = field(init=False)
    issued: IssuedToken = field(init=False)


def _settle(answer: asyncio.Future[IssuedToken], result: IssuedToken | Exception) -> None:
    if answer.done():  # the caller went away
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
