"""Matching a proven CI identity against the trusted publishers of one resource (V15, V16, M00-M08). Pure.

Every publisher is judged completely, so that a refusal can be explained claim by claim. Publishers are alternatives;
the rights of the one chosen are never joined with another's (T85).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from keyless.issuers.profile import Attributes, Profile
from keyless.oidc.id_token import VerifiedIdToken
from keyless.oidc.issuer import Issuer
from keyless.trust.conditions import holds
from keyless.trust.plan import plan_for
from keyless.trust.publisher import Condition, Operator, Pin, Publisher

_NOTHING_TO_PIN: Final[Mapping[str, str]] = MappingProxyType({})
RUN_ATTEMPT: Final = "run_attempt"
"""The claim that counts the attempts of a run, where a platform has one."""
MAX_ATTEMPT_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Say why one publisher does not accept a token.

    `expected` is the publisher's own business: show it to a signed-in owner only (D12). `received` is the caller's.
    """

    claim: str
    expected: str
    received: str | None


class Verdict(NamedTuple):
    """Say what one publisher makes of a token: accepted when `mismatches` is empty.

    `first_use_pins` are the ids that this use would pin. `owner_proven` is true when every id that the
    profile demands, and every pinned one, is set and equals the token's, so that the caller may learn which of its
    claims differ (D12).
    """

    publisher: Publisher
    mismatches: tuple[Mismatch, ...]
    first_use_pins: Mapping[str, str]
    owner_proven: bool

    @property
    def accepted(self) -> bool:
        """Tell whether the publisher accepts the token."""
        return not self.mismatches


def judge(publisher: Publisher, attributes: Attributes, token: VerifiedIdToken, profile: Profile, now: int) -> Verdict:
    """Judge one publisher of the requested resource.

    The plain yes is found without collecting reasons (D17); everything else is judged in full.

    Args:
        publisher: One of the resource's publishers.
        attributes: From `profile.attributes(token.claims)`.
        token: The proven id token.
        profile: The profile of its issuer.
        now: Unix seconds.
    """
    if publisher.expires_at is None or now < publisher.expires_at:
        plan = plan_for(publisher, token.issuer, profile)
        if plan is not None and plan.accepts(attributes):
            return Verdict(publisher, (), _NOTHING_TO_PIN, owner_proven=True)
    return judge_unproven(publisher, attributes, token.issuer, profile, now)


def judge_unproven(publisher: Publisher, attributes: Attributes, issuer: Issuer, profile: Profile, now: int) -> Verdict:
    """Judge one publisher for claims that nobody proved: what it would make of them, never a reason to mint.

    For those who may see everything anyway: lint, tests of trust, explanations on the command line (D12).
    """
    mismatches: list[Mismatch] = []
    if publisher.issuer_id != issuer.id:  # T35, T112: the caller must never mix issuers; fail closed if it does
        mismatches.append(Mismatch("iss", publisher.issuer_url, issuer.url))
    if not publisher.enabled:
        mismatches.append(Mismatch("publisher", "enabled", "disabled"))
    if publisher.expires_at is not None and now >= publisher.expires_at:
        mismatches.append(Mismatch("publisher", "in force", "expired"))
    if publisher.pending_until is not None and now >= publisher.pending_until:
        mismatches.append(Mismatch("publisher", "used before its time to wait was over", "lapsed"))

    first_use: dict[str, str] = {}
    for pin in publisher.pins:
        received = attributes.get(pin.claim)
        if pin.value is None:
            if problem := _cannot_pin(pin, received, now):
                mismatches.append(Mismatch(pin.claim, problem, received))
            else:
                first_use[pin.claim] = received or ""
        elif not received or received != pin.value:  # M02, T81: nothing equals an empty pin
            mismatches.append(Mismatch(pin.claim, pin.value, received))

    # M00: also at match, so that a row which slipped past the checks at save still opens nothing (T36).
    exact = {item.claim: item.values[0] for item in publisher.conditions if _is_exact(item)}
    bound = exact | {pin.claim: pin.value for pin in publisher.pins}
    required = profile.required_pins(issuer)
    mismatches += [
        Mismatch(claim, "to be pinned by the publisher", attributes.get(claim))
        for claim in required
        if claim not in bound
    ]
    # M03, T86: an id is pinned only for whoever matched a name first, or the first stranger would own the publisher.
    if first_use and not (
        publisher.conditions if profile.repository_claim is None else profile.repository_claim in exact
    ):
        name = profile.repository_claim or "sub"
        mismatches.append(Mismatch(name, "to be named by the publisher before its first use", attributes.get(name)))
    named = {condition.claim for condition in publisher.conditions}
    mismatches += [
        Mismatch(guard.claim, f"to be named by the publisher: {guard.because}", attributes.get(guard.claim))
        for guard in profile.guards(attributes)
        if guard.claim not in named
    ]
    mismatches += [
        Mismatch(condition.claim, describe(condition), attributes.get(condition.claim))
        for condition in publisher.conditions
        if not holds(condition, attributes.get(condition.claim), profile)
    ]
    if publisher.max_run_attempt is not None and not _is_attempt(
        attributes.get(RUN_ATTEMPT), publisher.max_run_attempt
    ):
        expected = f"at most {publisher.max_run_attempt}: this is a re-run"
        mismatches.append(Mismatch(RUN_ATTEMPT, expected, attributes.get(RUN_ATTEMPT)))
    ids = [*((claim, bound.get(claim)) for claim in required), *((pin.claim, pin.value) for pin in publisher.pins)]
    owner_proven = publisher.issuer_id == issuer.id and all(
        bool(value) and value == attributes.get(claim) for claim, value in ids
    )
    return Verdict(publisher, tuple(mismatches), first_use, owner_proven)


def _is_attempt(received: str | None, most: int) -> bool:
    """Tell whether a run is one of the first so many attempts (T76); an absent or odd number is not."""
    if not received or not received.isascii() or not received.isdecimal() or len(received) > MAX_ATTEMPT_DIGITS:
        return False
    return 1 <= int(received) <= most


def _is_exact(condition: Condition) -> bool:
    return condition.operator is Operator.EQUALS and len(condition.values) == 1


def _cannot_pin(pin: Pin, received: str | None, now: int) -> str | None:
    if pin.lapses_at is not None and now >= pin.lapses_at:
        return "to be pinned again by its owner: the wait for a first use is over"
    return None if received else "an id to pin at first use"


def describe(condition: Condition) -> str:
    """Return what a condition demands, for people."""
    values = " or ".join(repr(value) for value in condition.values)
    return f"a match of {values}" if condition.operator is Operator.GLOB else values


def judge_all(
    publishers: Sequence[Publisher], attributes: Attributes, token: VerifiedIdToken, profile: Profile, now: int
) -> list[Verdict]:
    """Judge every publisher of the requested resource, accepted ones first, the most specific of them leading.

    Specific means more conditions, then the older id: a stable choice that only decides whose name stands in the audit
    and whose rights apply.
    """
    if len(publishers) == 1:
        return [judge(publishers[0], attributes, token, profile, now)]
    return ranked(judge(publisher, attributes, token, profile, now) for publisher in publishers)


def ranked(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return verdicts in the order of `judge_all`."""
    return sorted(
        verdicts,
        key=lambda v: (len(v.mismatches), -len(v.publisher.conditions), v.publisher.created_at, v.publisher.id),
    )
