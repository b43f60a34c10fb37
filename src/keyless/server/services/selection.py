"""Which publishers a request is about, and what each makes of a proven identity. Shared by exchange and explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keyless.resource import Resource
from keyless.server.services.token_request import TokenRequest
from keyless.server.services.verification import ProvenIdentity
from keyless.trust.match import Verdict, judge_all
from keyless.trust.publisher import Publisher


class PublisherSource(Protocol):
    """Where publishers are looked up; the answers are as new as the last committed change of any process (D4)."""

    def publishers(self, resource: Resource, issuer_id: int) -> tuple[Publisher, ...]:
        """Return the usable publishers of a resource for one issuer."""

    def resource_of_publisher(self, publisher_id: str) -> Resource | None:
        """Return the resource of a publisher, for callers that name the publisher (D22)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Hold the target of a request and the verdicts of its publishers, the one that counts leading.

    `resource` is `None` when the caller named a publisher that does not exist. Where the caller named a publisher,
    `resource` is its secret: tell it only to whoever is accepted, or proves to own the pinned ids (T94).
    """

    resource: Resource | None
    verdicts: tuple[Verdict, ...]

    @property
    def accepted(self) -> Verdict | None:
        """Return the verdict under which a token may be minted, or `None`."""
        return self.verdicts[0] if self.verdicts and self.verdicts[0].accepted else None


def select_publishers(
    source: PublisherSource, request: TokenRequest, identity: ProvenIdentity, *, now: int
) -> Selection:
    """Judge the publishers that the request means, never whatever else matches (D22, T90)."""
    resource = request.resource
    if resource is None and request.publisher_id is not None:
        resource = source.resource_of_publisher(request.publisher_id)
    if resource is None:
        return Selection(None, ())
    publishers = source.publishers(resource, identity.token.issuer.id)
    if request.publisher_id is not None:
        publishers = tuple(p for p in publishers if p.id == request.publisher_id)
    verdicts = judge_all(publishers, identity.attributes, identity.token, identity.profile, now)
    return Selection(resource, tuple(verdicts))


def reasons_of(selection: Selection) -> list[str]:
    """Return what differed, with what was expected: for the audit, never for the wire (D12)."""
    return [
        f"{verdict.publisher.id}: {item.claim} is {item.received!r}, expected {item.expected}"
        for verdict in selection.verdicts
        for item in verdict.mismatches
    ] or ["no publisher of this resource for this issuer"]
