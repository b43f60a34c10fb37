"""A publisher as a person describes it, and what such a description must be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keyless.errors import ConfigurationError
from keyless.issuers import Profile
from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.resource import Resource, ResourceType
from keyless.server.store.admin.rules import check_publisher, check_replay, make_condition
from keyless.trust.match import RUN_ATTEMPT
from keyless.trust.publisher import Condition, Operation, Pin, Publisher

MIN_TTL_SECONDS: Final = 60
MAX_TTL_SECONDS: Final = 3600  # D7
MAX_LIVE_TOKENS: Final = 10_000  # each exchange counts up to that many


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPublisher:
    """Describe a publisher as it is to be.

    Attributes:
        resource: What it may publish to.
        issuer_url: An issuer that is configured.
        claims: Claim -> the values it may have; a `*` in one makes it a pattern where the claim allows that.
        pins: Immutable ids.
        pin_first_use: Take missing ids from the first token that matches everything else, within seven days.
        operations: Read, write, create; everything for a repository and read for an account when empty.
        ttl_seconds: Lifetime of its tokens, or the door's default.
        expires_at: Unix seconds after which it grants nothing, or never.
        replay: Overrides the issuer's rule (D8).
        resource_server: Name; the first one when `None`.
        pending: Its resource does not exist yet: the first use brings it into being, within 30 days (T93).
        max_live_tokens: How many of its tokens may be live at once; `None`: as the service says, 0: any (T117).
        max_grants_per_hour: More tokens than that in an hour pause it; as above (T78).
        max_run_attempt: Refuse re-runs of a run beyond this attempt, where the platform counts them (T76).
    """

    resource: Resource
    issuer_url: str
    claims: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    pin_first_use: bool = False
    operations: Sequence[Operation] = ()
    ttl_seconds: int | None = None
    expires_at: int | None = None
    replay: ReplayMode | None = None
    resource_server: str | None = None
    pending: bool = False
    max_live_tokens: int | None = None
    max_grants_per_hour: int | None = None
    max_run_attempt: int | None = None


def description_of(publisher: Publisher) -> NewPublisher:
    """Return the description that a publisher fits, to change some of it and hand it to `change`."""
    return NewPublisher(
        resource=publisher.resource,
        issuer_url=publisher.issuer_url,
        claims={condition.claim: condition.values for condition in publisher.conditions},
        pins={pin.claim: pin.value for pin in publisher.pins if pin.value is not None},
        pin_first_use=any(pin.value is None for pin in publisher.pins),
        operations=publisher.operations,
        ttl_seconds=publisher.ttl_seconds,
        expires_at=publisher.expires_at,
        replay=publisher.replay,
        pending=publisher.pending_until is not None,
        max_live_tokens=publisher.max_live_tokens,
        max_grants_per_hour=publisher.max_grants_per_hour,
        max_run_attempt=publisher.max_run_attempt,
    )


def operations_of(new: NewPublisher) -> tuple[Operation, ...]:
    """Return what it may do: everything for a repository and read for an account when nothing is said."""
    if new.operations:
        return tuple(operation for operation in Operation if operation in new.operations)
    return (Operation.READ,) if new.resource.type is ResourceType.USER else tuple(Operation)


def check(
    profile: Profile, issuer: Issuer, new: NewPublisher, now: int | None
) -> tuple[tuple[Condition, ...], tuple[str, ...]]:
    """Return the conditions, and the claims that wait for their first use. `now` is `None` when it may be over."""
    conditions = tuple(make_condition(profile, claim, values) for claim, values in new.claims.items())
    waiting = check_publisher(profile, issuer, conditions, new.pins, pin_first_use=new.pin_first_use)
    check_replay(profile, new.replay)
    if new.ttl_seconds is not None and not MIN_TTL_SECONDS <= new.ttl_seconds <= MAX_TTL_SECONDS:
        raise ConfigurationError(f"ttl is {new.ttl_seconds} s; it must be {MIN_TTL_SECONDS}-{MAX_TTL_SECONDS} s")
    if now is not None and new.expires_at is not None and new.expires_at <= now:
        raise ConfigurationError("the publisher would have expired already")
    for name, value, least, most in (
        ("the number of live tokens", new.max_live_tokens, 0, MAX_LIVE_TOKENS),
        ("the number of tokens in an hour", new.max_grants_per_hour, 0, 10**9),
        ("the number of attempts of a run", new.max_run_attempt, 1, 10**6),
    ):
        if value is not None and not least <= value <= most:
            raise ConfigurationError(f"{name} is {value}; it must be {least}-{most}")
    if new.max_run_attempt is not None and RUN_ATTEMPT not in profile.condition_claims:
        raise ConfigurationError(
            f"{profile.kind} tokens do not count the attempts of a run", hint="Leave --max-run-attempt out."
        )
    return conditions, waiting


def settings_of(new: NewPublisher, operations: Sequence[Operation]) -> dict[str, object]:
    """Return the columns of a publisher that a description sets."""
    return {
        "operations": " ".join(operations),
        "ttl_seconds": new.ttl_seconds,
        "expires_at": new.expires_at,
        "replay": None if new.replay is None else new.replay.value,
        "max_live_tokens": new.max_live_tokens,
        "max_grants_per_hour": new.max_grants_per_hour,
        "max_run_attempt": new.max_run_attempt,
    }


def differences(
    before: Publisher, conditions: Iterable[Condition], pins: Iterable[Pin], settings: Mapping[str, object]
) -> dict[str, list[object]]:
    """Return what a change changes: name -> before, after."""

    def view(conditions: Iterable[Condition], pins: Iterable[Pin], settings: Mapping[str, object]) -> dict[str, object]:
        said = {c.claim: [c.operator.value, *sorted(c.values)] for c in conditions}
        return {**settings, "conditions": said, "pins": {pin.claim: pin.value for pin in pins}}

    description = description_of(before)
    old = view(before.conditions, before.pins, settings_of(description, before.operations))
    new = view(conditions, pins, settings)
    return {name: [old[name], new[name]] for name in new if old[name] != new[name]}


def must_create() -> ConfigurationError:
    """Return the error of a publisher that waits for what it may not create."""
    return ConfigurationError(
        "a publisher that waits for its resource must be allowed to create it", hint="Give create among --operations."
    )
