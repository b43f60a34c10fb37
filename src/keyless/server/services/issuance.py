"""What the tokens of a publisher have in common under a door's terms, worked out once for many (D17). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.resource import Resource
from keyless.server.services.selection import replay_of
from keyless.server.services.terms import Terms
from keyless.server.services.token_writer import Write, token_writer
from keyless.server.store.grants import Covered
from keyless.trust.publisher import Operation, Publisher

MAX_TOKEN_TTL_SECONDS: Final = 3600  # D7
_EVERYTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """Hold what a publisher may have where it says nothing of its own; 0 is any number (T78, T117)."""

    max_live_tokens: int = 0
    revoke_oldest: bool = False
    max_grants_per_hour: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Issuance:
    """Hold it: of one publisher, or of several that grant one token together, the strictest of each."""

    publisher: Publisher
    terms: Terms
    issuer: Issuer
    public_url: str
    resource: str
    """Canonical."""
    replay: ReplayMode
    max_live_tokens: int
    max_grants_per_hour: int
    longest_ttl_seconds: int
    ends_at: int | None
    """When the first of them ends, Unix seconds."""
    also: tuple[Covered, ...]
    packages: tuple[tuple[Resource, str], ...]
    _scopes: dict[frozenset[str], tuple[str, Write]] = field(default_factory=dict)

    def ttl_seconds(self, now: int) -> int:
        """Return how long a token issued now lives.

        Never longer than a publisher: who checks it offline is told by no event that the publisher's time came.
        """
        return self.longest_ttl_seconds if self.ends_at is None else min(self.longest_ttl_seconds, self.ends_at - now)

    def narrowed_to(self, asked: frozenset[str]) -> tuple[str, Write]:
        """Return the scope, and what writes tokens of it: all operations, or those of them that the caller asked for.

        Words we do not know are ignored; the answer's `scope` says what was given (RFC 6749 section 3.3).
        """
        operations: tuple[Operation, ...] = self.publisher.operations
        if asked:
            operations = tuple(operation for operation in operations if operation.value in asked) or operations
        wanted = frozenset(operations) if asked else _EVERYTHING
        if (known := self._scopes.get(wanted)) is None:
            write = token_writer(
                issuer=self.public_url,
                publisher=self.publisher,
                resource=self.publisher.resource,
                operations=operations,
                ci_issuer=self.issuer.url,
                also=self.packages,
            )
            known = self._scopes[wanted] = (" ".join(operations), write)
        return known


def issue(
    publisher: Publisher,
    companions: Sequence[Publisher],
    terms: Terms,
    issuer: Issuer,
    limits: PublisherLimits,
    public_url: str,
) -> Issuance:
    """Work out what the tokens of a publisher have in common.

    Args:
        publisher: The one that was matched.
        companions: Those of further packages of the same token.
        terms: Of the door.
        issuer: The id tokens' issuer.
        limits: Of publishers that set none.
        public_url: Our `iss`.
    """
    together = (publisher, *companions)
    ends = [p.expires_at for p in together if p.expires_at is not None]
    return Issuance(
        publisher=publisher,
        terms=terms,
        issuer=issuer,
        public_url=public_url,
        resource=str(publisher.resource),
        replay=replay_of(together, terms.replay or issuer.replay),
        max_live_tokens=_own(_least([p.max_live_tokens for p in together]), limits.max_live_tokens),
        max_grants_per_hour=_own(_least([p.max_grants_per_hour for p in together]), limits.max_grants_per_hour),
        longest_ttl_seconds=min(min(MAX_TOKEN_TTL_SECONDS, p.ttl_seconds or terms.ttl_seconds) for p in together),
        ends_at=min(ends, default=None),
        also=tuple(Covered(str(p.resource), p.id, p.version, p.pending_until is not None) for p in companions),
        packages=tuple((p.resource, p.id) for p in companions),
    )


def _least(caps: Sequence[int | None]) -> int | None:
    """Return the strictest cap of publishers that grant together; `None` where none has one, 0 is any number."""
    if len(caps) == 1:
        return caps[0]
    own = [cap for cap in caps if cap is not None]
    return min((cap for cap in own if cap), default=0) if own else None


def _own(value: int | None, default: int) -> int:
    return default if value is None else value
