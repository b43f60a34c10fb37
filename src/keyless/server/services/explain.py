"""Explain: what an exchange would have answered, and to the owner why; nothing is minted or claimed (D12).

It takes the very steps of the exchange - the same request, the same verification, the same judgement - and stops before
anything is written but one audit row. A caller learns no more from it than from the exchange, unless its token carries
every id that a publisher pins.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from keyless.errors import ClaimError, NoMatchingPublisherError, RateLimitedError
from keyless.resource import Resource, ResourceType
from keyless.server.services.selection import PublisherSource, Selection, reasons_of, select_publishers
from keyless.server.services.token_request import TokenRequest
from keyless.server.services.trail import Caller, ExchangeTrail
from keyless.server.services.verification import IdTokenVerification, ProvenIdentity
from keyless.trust.explain import ACCEPTED, wire_view

WINDOW_SECONDS: Final = 60
QUESTIONS_PER_IDENTITY: Final = 10  # in a window; a person who mends a CI file asks once a run
MAX_IDENTITIES: Final = 10_000  # remembered in a window; more than that ask on a day without an attack


class QuestionBudget:
    """Allow each identity a number of questions in a window. Used from one event loop; not thread-safe."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._window = 0
        self._asked: Counter[tuple[int, str]] = Counter()

    def spend(self, issuer_id: int, identity: str) -> None:
        """Count one question.

        Raises:
            RateLimitedError: It is one too many; `retry_after` is the rest of the window.
        """
        now = self._clock()
        window = int(now // WINDOW_SECONDS)
        if window != self._window:
            self._window = window
            self._asked.clear()
        key = (issuer_id, identity)
        asked = self._asked[key]
        # Memory is bounded by asking whoever comes last to wait, never by forgetting who asked too often.
        if asked >= QUESTIONS_PER_IDENTITY or (asked == 0 and len(self._asked) >= MAX_IDENTITIES):
            raise RateLimitedError(
                f"an identity may ask {QUESTIONS_PER_IDENTITY} times in {WINDOW_SECONDS} s for an explanation",
                retry_after=(window + 1) * WINDOW_SECONDS - now,
            )
        self._asked[key] = asked + 1


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what the caller may learn.

    `resource` is the one the caller named; or the one of the publisher it named, if that accepts it or is its own.
    """

    accepted: bool
    reason: str
    resource: Resource | None
    publishers: tuple[dict[str, object], ...]


class ExplainService:
    """Answer what the exchange would have answered.

    Args:
        store: Publishers.
        verification: Proves id tokens; the exchange's own.
        trail: Keeps the rows; the exchange's own, so that both share one budget of rows.
        clock: Unix seconds.
        audiences: What an id token must be meant for where a type of resource has a door of its own.
    """

    def __init__(
        self,
        *,
        store: PublisherSource,
        verification: IdTokenVerification,
        trail: ExchangeTrail,
        clock: Callable[[], float] = time.time,
        audiences: Mapping[ResourceType, tuple[str, ...]] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._verification = verification
        self._trail = trail
        self._clock = clock
        self._audiences = audiences
        self._budget = QuestionBudget(clock=clock)

    def audiences_for(self, request: TokenRequest) -> tuple[str, ...]:
        """Return what an id token must be meant for at the door of the resource; empty at the hub's own."""
        return () if request.resource is None else self._audiences.get(request.resource.type, ())

    async def explain(self, request: TokenRequest, caller: Caller) -> Answer:
        """Explain one exchange without making it. Whether the id token was used before is not looked at.

        Raises:
            TokenError: The id token is not acceptable; as the exchange says it.
            RateLimitedError: The identity asked too often.
            UnavailableError: We cannot tell, because something we depend on is down.
        """
        candidate = self._verification.identify(request.subject_token.reveal())
        try:
            identity = await self._verification.prove(candidate, audiences=self.audiences_for(request))
        except ClaimError as error:
            await self._trail.record(error.code, candidate, request, caller, [f"{error}"], explained=True)
            raise
        self._budget.spend(identity.token.issuer.id, identity.pinned_part)
        selection = select_publishers(self._store, request, identity, now=int(self._clock()))
        accepted = selection.accepted
        await self._trail.record(
            ACCEPTED if accepted is not None else NoMatchingPublisherError.code,
            candidate,
            request,
            caller,
            () if accepted is not None else reasons_of(selection),
            publisher_id=accepted.publisher.id if accepted is not None else None,
            explained=True,
        )
        return _answer(selection, request, identity)


def _answer(selection: Selection, request: TokenRequest, identity: ProvenIdentity) -> Answer:
    accepted = selection.accepted is not None
    publishers = tuple(wire_view(selection.verdicts, identity.attributes))
    resource = request.resource
    if resource is None and (accepted or publishers):
        resource = selection.resource  # T94: a publisher's id alone must not tell what it belongs to
    return Answer(accepted, ACCEPTED if accepted else NoMatchingPublisherError.code, resource, publishers)
