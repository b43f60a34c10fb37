"""What the feed said: which tokens no longer stand, and why. Pure; a value is never changed, only replaced.

Each subject is kept for two hours: an access token lives one hour at most and nothing is minted for what is withdrawn,
so older news touches no token any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from keyless.errors import RevokedTokenError, UnavailableError
from keyless.verifier.access_token import VerifiedAccessToken

KEPT_SECONDS: Final = 2 * 3600
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
    """Hold the news by kind and subject; a kind that nothing was heard of is not there. `version` grows with each."""

    by_kind: Mapping[str, Mapping[str, News]] = field(default_factory=dict)
    version: int = 0

    def updated(self, heard: Mapping[Subject, News], *, now: float, anew: bool) -> Withdrawals:
        """Return what is known with the latest news; `anew` forgets what was known before."""
        known: dict[str, dict[str, News]] = {}
        if not anew:
            for kind, subjects in self.by_kind.items():
                if kept := {name: news for name, news in subjects.items() if now - news.heard_at < KEPT_SECONDS}:
                    known[kind] = kept
        for (kind, name), news in heard.items():
            known.setdefault(kind, {})[name] = news
        return Withdrawals(known, self.version + 1)

    def check(self, token: VerifiedAccessToken, now: float) -> tuple[VerifiedAccessToken, float]:
        """Return a token that stands, perhaps with fewer operations, and until when that is so at the latest.

        Raises:
            RevokedTokenError: It was withdrawn, or something that it stands on.
        """
        ends_at: float = token.expires_at
        for kind, subjects in self.by_kind.items():
            for name in _NAMES[kind](token):
                if (found := subjects.get(name)) is None:
                    continue
                if not found.live or (found.resource is not None and found.resource not in _paths(token)):
                    raise RevokedTokenError("the token was withdrawn")
                if found.scope is not None:
                    token = token.narrowed_to(found.scope)
                if found.ends_at is not None:
                    ends_at = min(ends_at, found.ends_at)
        if now >= ends_at:
            raise RevokedTokenError("the token was withdrawn")
        return token, ends_at


def _paths(token: VerifiedAccessToken) -> list[str]:
    return [str(resource) for resource in (token.resource, *token.also)]


_NAMES: Final[dict[str, Callable[[VerifiedAccessToken], Iterable[str]]]] = {
    "token": lambda token: (token.jti,),
    "publisher": lambda token: (token.publisher_id, *token.also_publishers),
    "issuer": lambda token: (token.ci_issuer,),
    "resource": _paths,
    "namespace": lambda token: [resource.namespace for resource in (token.resource, *token.also)],
    "key": lambda token: (token.kid,),
    "service": lambda _token: (LOCK,),
}


def read_news(entry: object, heard_at: float) -> tuple[Subject, News]:
    """Read one entry of the feed.

    Raises:
        UnavailableError: It cannot be understood, so what it withdraws cannot be known.
    """
    if isinstance(entry, dict):
        kind, subject, live = entry.get("kind"), entry.get("id"), entry.get("live")
        resource, scope, ends_at = entry.get("resource"), entry.get("scope"), entry.get("ends_at")
        if isinstance(kind, str) and kind in _NAMES and isinstance(subject, str) and isinstance(live, bool):
            if kind != "publisher" or not live:
                return (kind, subject), News(live, heard_at)
            if isinstance(resource, str) and isinstance(scope, str) and (ends_at is None or type(ends_at) is int):
                return (kind, subject), News(live, heard_at, resource, frozenset(scope.split(" ")), ends_at)
    raise UnavailableError(
        "the feed says something that this verifier does not understand",
        hint="The token service is newer: update keyless here.",
    )
