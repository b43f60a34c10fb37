"""The terms of a door: what it demands of an id token, and what it gives for one. Pure: values only."""

from __future__ import annotations

from dataclasses import dataclass

from keyless.oidc.issuer import ReplayMode
from keyless.resource import ResourceType


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Say how one door exchanges.

    Attributes:
        door: Its name, for log and metrics.
        audiences: The audiences that an id token may carry here, the one we announce leading. No other door of this
            service has any of them, so that a job says with its id token what it wants (D19, T43).
        resource_types: What it hands out tokens for; a resource of another type is refused here.
        ttl_seconds: Lifetime of a token where the publisher sets none (D7).
        replay: How often an id token counts here, in the place of its issuer's rule; a publisher's own still wins (D8).
    """

    door: str
    audiences: tuple[str, ...]
    resource_types: frozenset[ResourceType]
    ttl_seconds: int
    replay: ReplayMode | None = None
