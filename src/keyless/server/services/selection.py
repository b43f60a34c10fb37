"""Which publishers a request is about, and what each makes of a proven identity. Shared by exchange and explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from keyless.errors import LockedError, NoMatchingPublisherError
from keyless.oidc.issuer import ReplayMode
from keyless.resource import Resource, ResourceType
from keyless.server.services.token_request import TokenRequest
from keyless.server.services.verification import ProvenIdentity
from keyless.trust.match import Verdict, judge_all
from keyless.trust.publisher import Publisher

MAX_COVERED: Final = 25  # packages of one token, where a protocol cannot name the one it is for (T90)
# Two publishers grant together only where they would trust the same jobs (PyPI: "one publisher, many projects").
_JOB_CLAIMS: Final = frozenset({"workflow", "workflow_ref", "job_workflow_ref", "ci_config_ref_uri", "environment"})
LOCKED_RETRY_SECONDS: Final = 60.0  # a person has to act


class PublisherSource(Protocol):
    """Where publishers are looked up; the answers are as new as the last committed change of any process (D4)."""

    def publishers(self, resource: Resource, issuer_id: int) -> tuple[Publisher, ...]:
        """Return the usable publishers of a resource for one issuer."""

    def all_locked(self) -> bool:
        """Tell whether the operator stopped everything."""

    def resource_of_publisher(self, publisher_id: str) -> Resource | None:
        """Return the resource of a publisher, for callers that name the publisher (D22)."""

    def publishers_naming(
        self, resource_type: ResourceType, issuer_id: int, claims: Mapping[str, str]
    ) -> tuple[Publisher, ...]:
        """Return the usable publishers of all resources of a type that name one of these claims with this value."""


class Selection(NamedTuple):
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

    @property
    def companions(self) -> tuple[Publisher, ...]:
        """Return the publishers of further packages that the same token is for, on the very terms of the accepted one.

        Raises:
            NoMatchingPublisherError: They are more than one token may cover.
        """
        leading = self.accepted
        if leading is None:
            return ()
        found = {
            verdict.publisher.resource: verdict.publisher
            for verdict in reversed(self.verdicts)
            if verdict.accepted
            and not verdict.first_use_pins
            and verdict.publisher.resource != leading.publisher.resource
            and _job(verdict.publisher) == _job(leading.publisher)
        }
        if len(found) >= MAX_COVERED:
            raise NoMatchingPublisherError(
                f"{len(found) + 1} packages trust this very job, and one token covers at most {MAX_COVERED}: tell them"
                " apart by workflow or environment"
            )
        return tuple(sorted(found.values(), key=lambda publisher: publisher.resource))


def _job(publisher: Publisher) -> tuple[object, ...]:
    return (
        publisher.issuer_id,
        frozenset((pin.claim, pin.value) for pin in publisher.pins),
        frozenset(condition for condition in publisher.conditions if condition.claim in _JOB_CLAIMS),
        publisher.operations,
        publisher.audience,
    )


def select_publishers(
    source: PublisherSource, request: TokenRequest, identity: ProvenIdentity, *, now: int
) -> Selection:
    """Judge the publishers that the request means, never whatever else matches (D22, T90).

    Raises:
        LockedError: Nobody gets anything now (T109).
    """
    if source.all_locked():
        raise LockedError("everything is locked by the operator", retry_after=LOCKED_RETRY_SECONDS)
    if request.resource_type is not None:
        return _select_packages(source, request.resource_type, identity, now=now)
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


def _select_packages(
    source: PublisherSource, resource_type: ResourceType, identity: ProvenIdentity, *, now: int
) -> Selection:
    """Judge whatever publishers of a type name the job's own repository; its token then lists what it is for (T90)."""
    attributes, profile, issuer = identity.attributes, identity.profile, identity.token.issuer
    names = (profile.required_pins(issuer)[0], profile.repository_claim)
    claims = {name: attributes[name] for name in names if name is not None and attributes.get(name)}
    publishers = source.publishers_naming(resource_type, issuer.id, claims)
    verdicts = tuple(judge_all(publishers, attributes, identity.token, profile, now))
    # What nobody named is told of nobody but who is accepted (T94).
    accepted = bool(verdicts) and verdicts[0].accepted
    return Selection(verdicts[0].publisher.resource if accepted else None, verdicts)


def replay_of(publishers: Sequence[Publisher], otherwise: ReplayMode) -> ReplayMode:
    """Return how often an id token counts for publishers together: as often as the strictest of them allows (D8)."""
    modes = {publisher.replay or otherwise for publisher in publishers}
    return ReplayMode.ONCE if ReplayMode.ONCE in modes else ReplayMode.COUNTED


def reasons_of(selection: Selection) -> list[str]:
    """Return what differed, with what was expected: for the audit, never for the wire (D12)."""
    return [
        f"{verdict.publisher.id}: {item.claim} is {item.received!r}, expected {item.expected}"
        for verdict in selection.verdicts
        for item in verdict.mismatches
    ] or ["no publisher of this resource for this issuer"]
