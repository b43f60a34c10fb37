"""Issuers at the fetcher's seam, a clock that is moved by hand, and a cache between them."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any, cast

from keyless.errors import TransportError
from keyless.http.deadline import Deadline
from keyless.http.guarded import MAX_BYTES, Fetched
from keyless.jose.signing import SigningKey
from keyless.oidc.issuer import Issuer, Network
from keyless.oidc.jwks_cache import JwksCache

A = Issuer(id=1, url="https://a.example", kind="generic", jwks_uri="https://a.example/keys")
B = Issuer(id=2, url="https://b.example", kind="generic", jwks_uri="https://b.example/keys")
HOUR = 3600.0


@functools.cache
def jwk(name: str, algorithm: str = "ES256") -> dict[str, object]:
    """Make the public key of that name, once."""
    return SigningKey.generate(algorithm, kid=name).public_jwk()


def document(*kids: str) -> bytes:
    return json.dumps({"keys": [jwk(kid) for kid in kids]}).encode()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Issuers:
    """Stand for all issuers behind the fetcher's seam: what they publish, and how they fail."""

    def __init__(self) -> None:
        self.published: dict[str, bytes | Exception] = {}
        self.etags: dict[str, str] = {}
        self.max_age_seconds: int | None = None
        self.date: float | None = None
        self.fetches: list[str] = []
        self.sent_etags: list[str | None] = []
        self.during: Callable[[], None] = lambda: None

    def publish(self, issuer: Issuer, *kids: str) -> None:
        self.published[cast(str, issuer.jwks_uri)] = document(*kids)

    def break_down(self, *issuers: Issuer) -> None:
        for issuer in issuers:
            self.published[cast(str, issuer.jwks_uri)] = TransportError("down", retryable=True)

    def fetch(
        self,
        url: str,
        *,
        network: Network,
        deadline: Deadline | None = None,
        operator_port: int | None = None,
        etag: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Fetched:
        self.fetches.append(url)
        self.sent_etags.append(etag)
        answer = self.published.get(url, b"")
        self.during()
        if isinstance(answer, Exception):
            raise answer
        if etag is not None and etag == self.etags.get(url):
            return Fetched(None, etag, self.max_age_seconds, self.date)
        return Fetched(answer, self.etags.get(url), self.max_age_seconds, self.date)


@dataclasses.dataclass
class World:
    issuers: Issuers
    clock: Clock
    cache: JwksCache
    background: list[Callable[[], object]]
    told: list[tuple[int, frozenset[str]]]
    skews: list[float]
    pinned: Issuer = A

    def run_background(self) -> int:
        """Do the refreshes that were started, here and now."""
        count = len(self.background)
        while self.background:
            self.background.pop(0)()
        return count

    def kids(self, issuer: Issuer, kid: str) -> list[str | None]:
        """Answer as the service does: from memory, else the slow way."""
        keys = self.cache.peek(issuer, kid)
        return [key.kid for key in (self.cache.resolve(issuer, kid) if keys is None else keys)]


def make_world(**options: Any) -> World:
    issuers, clock = Issuers(), Clock()
    background: list[Callable[[], object]] = []
    told: list[tuple[int, frozenset[str]]] = []
    skews: list[float] = []
    cache = JwksCache(
        issuers,
        clock=clock,
        wall_clock=lambda: 1_800_000_000.0,
        on_keys=lambda issuer, keys: told.append((issuer.id, keys.kids)),
        on_clock_skew=lambda _issuer, seconds: skews.append(seconds),
        spawn=background.append,
        **options,
    )
    return World(issuers, clock, cache, background, told, skews)


def world_of_two() -> World:
    """Two issuers that publish one key each, and a cache that has asked nobody yet."""
    made = make_world()
    made.issuers.publish(A, "a1")
    made.issuers.publish(B, "b1")
    return made


def warm_world() -> World:
    """The same after one good token of A."""
    made = world_of_two()
    made.kids(A, "a1")
    return made
