"""The Trusted Publisher: the record that trusts a CI identity with one resource. Pure: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from keyless.oidc.issuer import ReplayMode
from keyless.resource import Resource


class Operator(StrEnum):
    """Name the ways a condition compares (D11): no policy language, no user regex."""

    EQUALS = "eq"
    ONE_OF = "in"
    GLOB = "glob"


class Operation(StrEnum):
    """Name what an access token may do with its resource."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class Condition:
    """Demand something of one claim. All conditions of a publisher must hold (V16).

    `claim` is a name of the issuer's profile, including its derived ones (`branch`, `workflow`, …).
    """

    claim: str
    operator: Operator
    values: tuple[str, ...]


class PinSource(StrEnum):
    """Say where a pinned value came from."""

    GIVEN = "given"
    FIRST_USE = "first_use"


@dataclass(frozen=True, slots=True)
class Pin:
    """Bind a publisher to an immutable id of the provider (D10).

    `value` is `None` while the publisher waits to be pinned by its first use; `lapses_at` (Unix seconds) ends that
    wait. A publisher whose pins have lapsed unset matches nothing.
    """

    claim: str
    value: str | None
    source: PinSource = PinSource.GIVEN
    pinned_at: int | None = None
    lapses_at: int | None = None


@dataclass(frozen=True, slots=True)
class Publisher:
    """One Trusted Publisher as matching and minting need it.

    `version` grows with every change; a mint only succeeds against the version that was matched (D16).
    `ttl_seconds` is the publisher's own token lifetime or `None` for the door's default. Times are Unix seconds.
    `pending_until` is set while its resource does not exist yet (T93). `max_live_tokens` and `max_grants_per_hour` are
    `None` for the service's own, 0 for any number (T78, T117); `max_run_attempt` refuses later re-runs (T76). A paused
    publisher is not enabled, and `paused_reason` says why.
    """

    id: str
    version: int
    resource: Resource
    issuer_id: int
    issuer_url: str
    issuer_kind: str
    operations: tuple[Operation, ...]
    conditions: tuple[Condition, ...]
    pins: tuple[Pin, ...]
    audience: str
    token_prefix: str
    enabled: bool = True
    ttl_seconds: int | None = None
    expires_at: int | None = None
    replay: ReplayMode | None = None
    created_by: str = ""
    created_at: int = 0
    last_used_at: int | None = None
    pending_until: int | None = None
    max_live_tokens: int | None = None
    max_grants_per_hour: int | None = None
    max_run_attempt: int | None = None
    paused_at: int | None = None
    paused_reason: str | None = None
    memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was worked out from the other fields, kept by whoever worked it out."""
