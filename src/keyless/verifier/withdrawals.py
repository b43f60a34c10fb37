"""What the feed said: which tokens no longer stand, and why. Pure; a value is never changed, only replaced.

Each subject is kept for two hours: an access token lives one hour at most and nothing is minted for what is withdrawn,
so older news touches no token any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from keyless.errors import RevokedTokenError, UnavailableError
from keyless.verifier.access_token import VerifiedAccessToken

KEPT_SECONDS: Final = 2 * 3600
KINDS: Final = frozenset({"token", "publisher", "issuer", "resource", "namespace", "key", "service"})
LOCK: Final = "locked"
"""The subject of kind `service`: the switch that stops everything."""

Subject = tuple[str, str]


@dataclass(frozen=True, slots=True)
class News:
    """Say what is true of one subject. `resource`, `scope` and `ends_at` (Unix seconds) are a live publisher's."""

    live: bool
    heard_at: float
    resource: str | None = None
    scope: frozenset[str] | None = None
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """Hold the news by subject."""

    news: Mapping[Subject, News] = field(default_factory=dict)

    def updated(self, heard: Mapping[Subject, News], *, now: float, anew: bool) -> Withdrawals:
        """Return what is known with the latest news; `anew` forgets what was known before."""
        kept = () if anew else ((s, n) for s, n in self.news.items() if now - n.heard_at < KEPT_SECONDS)
        return Withdrawals({**dict(kept), **heard})

    def check(self, token: VerifiedAccessToken, now: float) -> tuple[VerifiedAccessToken, float]:
        """Return a token that stands, perhaps with fewer operations, and until when that is so at the latest.

        Raises:
            RevokedTokenError: It was withdrawn, or something that it stands on.
        """
        ends_at: float = token.expires_at
        news = self.news
        if not news:
            return token, ends_at
        resources = {str(resource) for resource in (token.resource, *token.also)}
        for subject in _subjects(token):
            found = news.get(subject)
            if found is None:
                continue
            if not found.live:
                raise RevokedTokenError("the token was withdrawn")
            if subject[0] == "publisher":
                if found.resource not in resources:
                    raise RevokedTokenError("the token was withdrawn")
                if found.scope is not None:
                    token = token.narrowed_to(found.scope)
                if found.ends_at is not None:
                    ends_at = min(ends_at, found.ends_at)
        if now >= ends_at:
            raise RevokedTokenError("the token was withdrawn")
        return token, ends_at


def _subjects(token: VerifiedAccessToken) -> Iterable[Subject]:
    yield "service", LOCK
    yield "token", token.jti
    yield "key", token.kid
    yield "issuer", token.ci_issuer
    for publisher_id in (token.publisher_id, *token.also_publishers):
        yield "publisher", publisher_id
    for resource in (token.resource, *token.also):
        yield "resource", str(resource)
        yield "namespace", resource.namespace


def read_news(entry: object, heard_at: float) -> tuple[Subject, News]:
    """Read one entry of the feed.

    Raises:
        UnavailableError: It cannot be understood, so what it withdraws cannot be known.
    """
    if isinstance(entry, dict):
        kind, subject, live = entry.get("kind"), entry.get("id"), entry.get("live")
        resource, scope, ends_at = entry.get("resource"), entry.get("scope"), entry.get("ends_at")
        if kind in KINDS and isinstance(subject, str) and isinstance(live, bool):
            if kind != "publisher" or not live:
                return (kind, subject), News(live, heard_at)
            if isinstance(resource, str) and isinstance(scope, str) and (ends_at is None or type(ends_at) is int):
                return (kind, subject), News(live, heard_at, resource, frozenset(scope.split(" ")), ends_at)
    raise UnavailableError(
        "the feed says something that this verifier does not understand",
        hint="The token service is newer: update keyless here.",
    )
