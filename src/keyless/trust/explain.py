"""Saying why: what each publisher of a resource makes of a CI identity, claim by claim (D12). Pure.

Two readers, two views. `wire_view` is for whoever holds an id token: only publishers whose every pinned id equals the
token's, and never what they expect (T94, T95). Everything else here, expected values included, is for somebody who may
read the publishers anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from keyless.errors import (
    ClaimError,
    InvalidClaimError,
    MissingClaimError,
    NoMatchingPublisherError,
    UntrustedIssuerError,
)
from keyless.issuers.profile import Attributes, Profile
from keyless.oidc.issuer import Issuer
from keyless.trust.match import Mismatch, Verdict, describe, judge_unproven, ranked
from keyless.trust.publisher import Publisher

ACCEPTED: Final = "accepted"
"""The reason of an explanation that is no refusal; every other reason is an error's code."""

FIRST_USE: Final = "any: taken from the first use"


@dataclass(frozen=True, slots=True)
class Finding:
    """Compare one demand of a publisher with what a token carries.

    `received` is the caller's. `expected` is the publisher's own business: show it to a signed-in owner only (D12).
    """

    claim: str
    matches: bool
    received: str | None
    expected: str


@dataclass(frozen=True, slots=True)
class PublisherExplanation:
    """Say what one publisher makes of an identity, one finding for each of its demands."""

    publisher: Publisher
    accepted: bool
    owner_proven: bool
    findings: tuple[Finding, ...]

    @property
    def differing(self) -> tuple[str, ...]:
        """Return the claims that do not match, each once."""
        return tuple(dict.fromkeys(finding.claim for finding in self.findings if not finding.matches))


@dataclass(frozen=True, slots=True)
class Explanation:
    """Say what became, or would become, of an identity at one resource.

    `reason` is `accepted` or the stable code of the refusal; `detail` is one sentence for people.
    """

    accepted: bool
    reason: str
    detail: str
    publishers: tuple[PublisherExplanation, ...] = ()


def explain_verdict(verdict: Verdict, attributes: Attributes) -> PublisherExplanation:
    """Turn a verdict into findings; whether a demand matches is what the verdict says, nothing is compared again."""
    publisher = verdict.publisher
    left = list(verdict.mismatches)
    findings: list[Finding] = []

    def add(claim: str, expected: str) -> None:
        mismatch = Mismatch(claim, expected, received := attributes.get(claim))
        if mismatch in left:
            left.remove(mismatch)
            findings.append(Finding(claim, False, received, expected))
        else:
            findings.append(Finding(claim, True, received, expected))

    for pin in publisher.pins:
        if pin.value is not None:
            add(pin.claim, pin.value)
        elif pin.claim in verdict.first_use_pins:
            findings.append(Finding(pin.claim, True, attributes.get(pin.claim), FIRST_USE))
    for condition in publisher.conditions:
        add(condition.claim, describe(condition))
    # What is left was demanded by the rules, not by a row: the issuer, a guard, an id that nobody pinned.
    findings += [Finding(item.claim, False, item.received, item.expected) for item in left]
    return PublisherExplanation(publisher, verdict.accepted, verdict.owner_proven, tuple(findings))


def wire_view(verdicts: Iterable[Verdict], attributes: Attributes) -> list[dict[str, object]]:
    """Return what the holder of a proven id token may learn of the publishers (D12, T94, T95).

    A publisher is there only when every id that must be pinned is, and equals the token's: so a stranger, another
    repository of the same owner, and whoever meets an unpinned publisher get an empty list. Expected values are never
    there; a claim counts as matching when all that the publisher demands of it holds.
    """
    return [_wire_publisher(explain_verdict(verdict, attributes)) for verdict in verdicts if verdict.owner_proven]


def _wire_publisher(explanation: PublisherExplanation) -> dict[str, object]:
    differing = explanation.differing
    received = {finding.claim: finding.received for finding in explanation.findings}
    return {
        "publisher": explanation.publisher.id,
        "accepted": explanation.accepted,
        "claims": [
            {"claim": claim, "matches": claim not in differing, "yours": yours} for claim, yours in received.items()
        ],
    }


def explain_claims(
    publishers: Iterable[Publisher],
    claims: Mapping[str, object],
    issuer: Issuer,
    profile: Profile,
    *,
    now: int,
    in_force: Collection[str] | None = None,
) -> Explanation:
    """Say what the publishers of one resource would make of claims that nobody proved. For their owner only.

    Signature, times and audience are not looked at; what a profile demands of the claims is.

    Args:
        publishers: All of the resource, whatever their state and issuer.
        claims: As a token of the issuer carries them.
        issuer: The issuer.
        profile: The profile of its kind.
        now: Unix seconds.
        in_force: Ids of the publishers that an exchange would look at; one that accepts and is not among them belongs
            to a locked resource. `None` when that is not known.
    """
    publishers = tuple(publishers)
    claims = {"iss": issuer.url, **claims}
    if not issuer.enabled:
        return Explanation(False, UntrustedIssuerError.code, f"the issuer {issuer.url} is switched off")
    try:
        _check_required(claims, profile)
        attributes = profile.attributes(claims)
    except ClaimError as error:
        return Explanation(False, error.code, str(error))
    verdicts = ranked(judge_unproven(publisher, attributes, issuer, profile, now) for publisher in publishers)
    explained = tuple(_of_issuer(verdict, issuer, attributes, in_force) for verdict in verdicts)
    if any(item.accepted for item in explained):
        chosen = next(item.publisher for item in explained if item.accepted)
        return Explanation(True, ACCEPTED, f"publisher {chosen.id} accepts it", explained)
    detail = "no publisher of the resource accepts it" if explained else "the resource has no publisher"
    return Explanation(False, NoMatchingPublisherError.code, detail, explained)


def _of_issuer(
    verdict: Verdict, issuer: Issuer, attributes: Attributes, in_force: Collection[str] | None
) -> PublisherExplanation:
    explanation = explain_verdict(verdict, attributes)
    if verdict.publisher.issuer_id != issuer.id:
        # Under another issuer's profile its claims have other names; what differs first is the issuer.
        findings = tuple(finding for finding in explanation.findings if finding.claim == "iss")
        return PublisherExplanation(verdict.publisher, False, False, findings)
    if verdict.accepted and in_force is not None and verdict.publisher.id not in in_force:
        findings = (*explanation.findings, Finding("resource", False, "locked", "active"))
        return PublisherExplanation(verdict.publisher, False, explanation.owner_proven, findings)
    return explanation


def _check_required(claims: Mapping[str, object], profile: Profile) -> None:
    """Demand of bare claims what the verification demands of a token's (V14).

    Raises:
        ClaimError: A claim that every token of the profile carries is missing or no text.
    """
    for name in ("sub", *profile.required_claims):
        value = claims.get(name)
        if value is None or value == "":
            raise MissingClaimError(f"the token has no {name!r} claim", claim=name)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InvalidClaimError(f"the claim {name!r} is neither a text nor an integer", claim=name)
