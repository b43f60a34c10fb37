"""A publisher's demands, laid out for the question asked most: does it accept this token? (D17) Pure.

A plan answers yes, quickly, or does not answer. Whatever it leaves open `keyless.trust.match` judges in full, and only
that says why. `tests/trust/test_plan.py` holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from keyless.issuers.profile import Attributes, Profile, fold_ascii
from keyless.oidc.issuer import Issuer
from keyless.trust.conditions import holds
from keyless.trust.publisher import Condition, Operator, Publisher


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what must be true of a token's attributes for one publisher, one issuer and one profile."""

    issuer: Issuer
    profile: Profile
    plain: tuple[tuple[str, frozenset[str]], ...]
    """Claim and the values of which it must be one, byte for byte."""
    folded: tuple[tuple[str, frozenset[str]], ...]
    """The same where ASCII case does not count."""
    globs: tuple[Condition, ...]
    named: frozenset[str]

    def accepts(self, attributes: Attributes) -> bool:
        """Tell whether every condition, pin and guard is met. False only means that a full judgement is needed."""
        for claim, values in self.plain:
            if attributes.get(claim) not in values:
                return False
        for claim, values in self.folded:
            if fold_ascii(attributes.get(claim, "")) not in values:
                return False
        for condition in self.globs:
            if not holds(condition, attributes.get(condition.claim), self.profile):
                return False
        for guard in self.profile.guards(attributes):  # noqa: SIM110 - a generator would cost more than the loop
            if guard.claim not in self.named:
                return False
        return True


def plan_for(publisher: Publisher, issuer: Issuer, profile: Profile) -> Plan | None:
    """Return the plan of a publisher, kept beside it; `None` when it has none.

    A publisher that is switched off, of another issuer, waits for its first use or for its resource, counts re-runs, or
    lacks a required pin has none.
    """
    memo = publisher.memo
    plan: Plan | None = memo.get("plan")
    if plan is not None and plan.issuer is issuer and plan.profile is profile:
        return plan
    if (plan := _lay_out(publisher, issuer, profile)) is not None:
        memo["plan"] = plan
    return plan


def _lay_out(publisher: Publisher, issuer: Issuer, profile: Profile) -> Plan | None:
    exact = {
        item.claim: item.values[0]
        for item in publisher.conditions
        if item.operator is Operator.EQUALS and len(item.values) == 1
    }
    pinned = {pin.claim: pin.value for pin in publisher.pins if pin.value}
    bound = exact | pinned
    required = profile.required_pins(issuer)
    if (
        publisher.issuer_id != issuer.id
        or not publisher.enabled
        or publisher.pending_until is not None
        or publisher.max_run_attempt is not None
        or len(pinned) != len(publisher.pins)
        or not all(bound.get(claim) for claim in required)
    ):
        return None
    plain = [(claim, frozenset({bound[claim]})) for claim in {**pinned, **dict.fromkeys(required)}]
    folded = []
    for condition in publisher.conditions:
        if condition.operator is Operator.GLOB:
            continue
        if condition.claim in profile.folded_claims:
            folded.append((condition.claim, frozenset(map(fold_ascii, condition.values)) - {""}))
        else:
            plain.append((condition.claim, frozenset(condition.values) - {""}))
    return Plan(
        issuer=issuer,
        profile=profile,
        plain=tuple(plain),
        folded=tuple(folded),
        globs=tuple(item for item in publisher.conditions if item.operator is Operator.GLOB),
        named=frozenset(item.claim for item in publisher.conditions),
    )
