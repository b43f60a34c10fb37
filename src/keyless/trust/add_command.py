"""The `keyless trust add` that makes a given publisher: how a proposed change is written down. Pure.

Lint proposes to add a changed one and to remove the old one, so that the audit has both in full.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from keyless.issuers.profile import Profile
from keyless.resource import ResourceType
from keyless.trust.publisher import Operation, Publisher

_JOB_OPTIONS: Final = ("branch", "tag", "workflow", "environment")


def add_command(
    publisher: Publisher,
    profile: Profile,
    *,
    claims: Mapping[str, Sequence[str]] | None = None,
    pins: Mapping[str, str] | None = None,
    settings: bool = True,
    resource_server: str | None = None,
) -> str:
    """Return the command line that makes this publisher, changed.

    Args:
        publisher: The one to start from.
        profile: The profile of its issuer.
        claims: Conditions to replace or add, by claim; an empty sequence leaves that claim out.
        pins: Ids to give; those that wait for a first use and are not given here wait again.
        settings: Keep its own lifetime and replay rule; without, it gets the defaults.
        resource_server: Name of the hub its tokens are for, where that is not the first one.
    """
    words = ["keyless", "trust", "add", publisher.resource.short]
    if profile.default_url == publisher.issuer_url:
        words += _option("provider", profile.kind)
    else:
        words += _option("issuer", publisher.issuer_url)
    wanted = {condition.claim: condition.values for condition in publisher.conditions} | dict(claims or {})
    for claim, values in wanted.items():
        for value in values:
            if claim == profile.repository_claim:
                words += _option("repository", value)
            elif claim in _JOB_OPTIONS:
                words += _option(claim, value)
            else:
                words += _option("claim", f"{claim}={value}")
    given = {pin.claim: pin.value for pin in publisher.pins} | dict(pins or {})
    options = {claim: option for option, claim in profile.pin_options.items()}
    for claim, pinned in given.items():
        if pinned is not None:
            option = options.get(claim, "pin")
            words += _option(option, pinned if option != "pin" else f"{claim}={pinned}")
    if None in given.values():
        words.append("--pin-first-use")
    if publisher.operations != _default_operations(publisher):
        words += _option("operations", ",".join(publisher.operations))
    if settings and publisher.ttl_seconds is not None:
        words += _option("ttl", str(publisher.ttl_seconds))
    if publisher.expires_at is not None:
        words += _option("expires", datetime.fromtimestamp(publisher.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    if settings and publisher.replay is not None:
        words += _option("replay", publisher.replay.value)
    words += _life(publisher, settings=settings)
    if resource_server is not None:
        words += _option("resource-server", resource_server)
    return shlex.join(words)


def remove_command(publisher: Publisher) -> str:
    """Return the command line that removes a publisher."""
    return f"keyless trust remove {publisher.id}"


def _life(publisher: Publisher, *, settings: bool) -> list[str]:
    words = []
    for name, most in (
        ("max-live-tokens", publisher.max_live_tokens if settings else None),
        ("max-grants-per-hour", publisher.max_grants_per_hour if settings else None),
        ("max-run-attempt", publisher.max_run_attempt),
    ):
        if most is not None:
            words += _option(name, str(most))
    return words if publisher.pending_until is None else [*words, "--pending"]


def _option(name: str, value: str) -> list[str]:
    # A value that begins with a dash would be taken for an option of its own.
    return [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]


def _default_operations(publisher: Publisher) -> tuple[Operation, ...]:
    return (Operation.READ,) if publisher.resource.type is ResourceType.USER else tuple(Operation)
