"""The audit rows of exchanges that grant nothing: refusals, and explanations (D12, D15).

Only what follows a good signature gets a row, and no identity more than its budget: an outsider cannot fill the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from keyless.issuers import Profile
from keyless.issuers.profile import as_text
from keyless.jose.claims import are_short_texts
from keyless.server.services.group_commit import Answer
from keyless.server.services.refusals import RefusalBudget
from keyless.server.services.token_request import TokenRequest
from keyless.server.services.verification import Candidate, ProvenIdentity
from keyless.server.store.grants import Grant, Outcome, Refusal

_MAX_CLAIM_CHARS: Final = 512  # of one claim value in the audit


class Committer(Protocol):
    """What makes rows durable; see `keyless.server.services.group_commit`."""

    async def submit(self, row: Grant | Refusal) -> Outcome:
        """Commit one row."""

    def put(self, row: Grant | Refusal, answer: Answer, *, gone: Callable[[], bool] | None = None) -> None:
        """Commit one row and tell `answer`."""


class Caller(NamedTuple):
    """Say who sent a request, for the audit's contact table only; `traceparent` is there where spans are made."""

    request_id: str
    address: str | None = None
    user_agent: str | None = None
    traceparent: str | None = None


class ExchangeTrail:
    """Keep the rows of what was not granted; one budget for exchange and explain together.

    Args:
        committer: Makes rows durable.
        clock: Unix seconds.
    """

    def __init__(self, committer: Committer, *, clock: Callable[[], float]) -> None:
        self._committer = committer
        self._clock = clock
        self._budget = RefusalBudget(clock=clock)

    def reserve(self, identity: ProvenIdentity, *, now: float) -> int | None:
        """Set a row aside for a grant that may end as a refusal; `None` when the identity has used up its budget.

        The grant then says `keep_refusal` or not, and `settle` is told what was set aside.
        """
        return self._budget.reserve(identity.token.issuer.id, identity.pinned_part, now=now)

    def put(self, grant: Grant, answer: Answer, *, gone: Callable[[], bool] | None = None) -> None:
        """Commit a grant and tell `answer` what became of it, see `GroupCommit.put`; then call `settle`."""
        self._committer.put(grant, answer, gone=gone)

    def settle(self, identity: ProvenIdentity, window: int | None, *, kept: bool) -> None:
        """Give back what was reserved for a grant, unless it ended as a refusal whose row was kept."""
        if window is None:
            self._budget.dropped += kept
        elif not kept:
            self._budget.give_back(identity.token.issuer.id, identity.pinned_part, window)

    async def record(
        self,
        reason: str,
        candidate: Candidate,
        request: TokenRequest,
        caller: Caller,
        details: Sequence[str] = (),
        *,
        publisher_id: str | None = None,
        explained: bool = False,
    ) -> None:
        """Keep one row, within the identity's budget. Call it only after the signature proved good.

        Args:
            reason: The stable code of what became of the request.
            candidate: Whose signature is good.
            request: What was asked for.
            caller: Who asked.
            details: What differed.
            publisher_id: The publisher that would have granted, of an explanation.
            explained: It was a question (`exchange.explained`), not an exchange.

        Raises:
            UnavailableError: The row could not be made durable.
        """
        claims = candidate.unverified.unverified_claims
        issuer, profile = candidate.issuer, candidate.profile
        identity = "/".join(str(as_text(claims.get(name))) for name in profile.required_pins(issuer))
        if not self._budget.spend(issuer.id, identity):
            return
        await self._committer.submit(
            Refusal(
                reason=reason,
                issuer_id=issuer.id,
                resource=str(request.resource) if request.resource is not None else None,
                ci_subject=safe_text(as_text(claims.get("sub")) or ""),
                publisher_id=publisher_id,
                request_id=caller.request_id,
                claims=audit_claims(claims, profile),
                at=int(self._clock()),
                details=tuple(safe_text(detail) for detail in details),
                address=caller.address,
                user_agent=caller.user_agent,
                explained=explained,
            )
        )


def safe_text(text: str) -> str:
    """Return text that cannot forge a line or carry half a character into the store (T18)."""
    text = text[:_MAX_CLAIM_CHARS]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def audit_claims(claims: Mapping[str, object], profile: Profile) -> dict[str, str]:
    """Return the allow-listed claims for the audit: those the profile names, never an e-mail address (D15)."""
    return _kept({name: value for name in profile.subject_claims if (value := claims.get(name)) is not None})


def proven_claims(identity: ProvenIdentity) -> dict[str, str]:
    """Return the same of a proven identity, in the words that conditions compare where these differ."""
    attributes, claims = identity.attributes, identity.token.claims
    return _kept(
        {
            name: value
            for name in identity.profile.subject_claims
            if (value := attributes.get(name) or claims.get(name)) is not None
        }
    )


def _kept(found: dict[str, object]) -> dict[str, str]:
    if are_short_texts(found.values(), max_chars=_MAX_CLAIM_CHARS):
        texts: dict[str, str] = found  # type: ignore[assignment]  # that is what was just proven
        return texts
    return {name: safe_text(text) for name, value in found.items() if (text := as_text(value)) is not None}
