"""What a policy would change: a list of changes, each with what differs, claim by claim. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from keyless.oidc.issuer import Issuer
from keyless.server.representations import reading
from keyless.server.representations.reading import Json
from keyless.server.store.admin import NewIssuer, NewPublisher
from keyless.server.store.records import network_text
from keyless.trust.publisher import Publisher


class Action(StrEnum):
    """Name what happens to one thing."""

    ADD_ISSUER = "add_issuer"
    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"  # it keeps neither id nor history: what differs cannot be changed of a publisher
    REMOVE = "remove"
    SURPLUS = "surplus"  # in the store and not in the policy; kept, because nobody asked for its removal


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: a claim, a pin or a setting, before and after; `None` where it is not said."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One change. `resource` and `publisher` are `None` for an issuer, `publisher` also for one that is to be added."""

    action: Action
    issuer: str
    resource: str | None
    publisher: str | None
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes of a policy, in the order in which they are made."""

    changes: tuple[PlannedChange, ...]

    @property
    def pending(self) -> tuple[PlannedChange, ...]:
        """Return the changes that would be made."""
        return tuple(change for change in self.changes if change.action is not Action.SURPLUS)

    @property
    def digest(self) -> str:
        """Return what names this very plan, so that nobody applies another one than was looked at."""
        text = json.dumps([change_json(change) for change in self.pending], sort_keys=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def differences(before: Publisher | None, after: Publisher | None) -> tuple[Difference, ...]:
    """Return what differs between two publishers, one of which may not be there."""
    return _compare(_said(before), _said(after))


def issuer_differences(before: Issuer | None, after: Issuer) -> tuple[Difference, ...]:
    """Return what an issuer would be like; `before` when it is there already."""
    return _compare({} if before is None else _issuer(before), _issuer(after))


def declared_differences(found: Issuer, new: NewIssuer) -> tuple[Difference, ...]:
    """Return in what an issuer is not as it was declared; what is not said does not differ."""
    wanted: dict[str, str] = {"network": network_text(new.network)}
    if new.kind is not None:
        wanted["kind"] = new.kind
    if new.algorithms is not None:
        wanted["algorithms"] = " ".join(new.algorithms)
    if new.replay is not None:
        wanted["replay"] = new.replay.value
    if new.max_lifetime_seconds is not None:
        wanted["max_lifetime_seconds"] = str(new.max_lifetime_seconds)
    if new.jwks_uri is not None:
        wanted["jwks_uri"] = new.jwks_uri
    if new.immutable_claims:
        wanted["immutable_claims"] = " ".join(new.immutable_claims)
    real = _issuer(found)
    return _compare({name: real[name] for name in wanted if name in real}, wanted)


def plan_json(plan: Plan) -> dict[str, object]:
    """Return a plan."""
    return {
        "digest": plan.digest,
        "differs": bool(plan.changes),
        "changes": [change_json(change) for change in plan.changes],
    }


def change_json(change: PlannedChange) -> dict[str, object]:
    """Return a change."""
    return {
        "action": change.action.value,
        "issuer": change.issuer,
        "resource": change.resource,
        "publisher": change.publisher,
        "differences": [{"name": d.name, "before": d.before, "after": d.after} for d in change.differences],
    }


def plan_from_json(content: Json) -> Plan:
    """Read what `plan_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    return Plan(
        tuple(
            PlannedChange(
                reading.choice(item, "action", Action),
                reading.text(item, "issuer"),
                reading.maybe_text(item, "resource"),
                reading.maybe_text(item, "publisher"),
                tuple(
                    Difference(reading.text(d, "name"), reading.maybe_text(d, "before"), reading.maybe_text(d, "after"))
                    for d in reading.objects(item, "differences")
                ),
            )
            for item in reading.objects(content, "changes")
        )
    )


def likeness(new: NewPublisher, publishers: Iterable[Publisher]) -> int:
    """Return how many claims and pins a description has in common with the publisher most like it."""
    return max((_in_common(new, publisher) for publisher in publishers), default=0)


def nearest(new: NewPublisher, publishers: Iterable[Publisher]) -> Publisher | None:
    """Return the publisher that is most like a description; among equals the first."""
    return max(publishers, key=lambda publisher: _in_common(new, publisher), default=None)


def _in_common(new: NewPublisher, publisher: Publisher) -> int:
    wanted = {f"claim {claim}": " | ".join(sorted(values)) for claim, values in new.claims.items()}
    wanted |= {f"pin {claim}": value for claim, value in new.pins.items()}
    return len(wanted.items() & said_claims(publisher).items())


def said_claims(publisher: Publisher) -> dict[str, str]:
    """Return a publisher's conditions and pins as names and texts."""
    said = {f"claim {c.claim}": " | ".join(sorted(c.values)) for c in publisher.conditions}
    return said | {f"pin {pin.claim}": pin.value or "taken from the first use" for pin in publisher.pins}


def _said(publisher: Publisher | None) -> dict[str, str]:
    if publisher is None:
        return {}
    settings = {
        "operations": " ".join(publisher.operations),
        "ttl_seconds": publisher.ttl_seconds,
        "expires_at": publisher.expires_at,
        "replay": publisher.replay,
        "max_live_tokens": publisher.max_live_tokens,
        "max_grants_per_hour": publisher.max_grants_per_hour,
        "max_run_attempt": publisher.max_run_attempt,
        "audience": publisher.audience,
        "enabled": None if publisher.enabled else "no",
        "pending": None if publisher.pending_until is None else "yes",
    }
    return said_claims(publisher) | {name: str(value) for name, value in settings.items() if value is not None}


def _issuer(issuer: Issuer) -> dict[str, str]:
    said = {
        "kind": issuer.kind,
        "network": network_text(issuer.network),
        "algorithms": " ".join(issuer.algorithms),
        "replay": issuer.replay.value,
        "max_lifetime_seconds": str(issuer.max_lifetime_seconds),
        "jwks_uri": issuer.jwks_uri,
        "immutable_claims": " ".join(issuer.immutable_claims) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _compare(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    return tuple(
        Difference(name, before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )
