"""Watching the keys of issuers: what was fetched is kept, and a set that was swapped whole raises an alarm (T37).

A rotation overlaps: some old key is still there when the new one appears. A host or a tenant name that lapsed and was
registered by somebody else does not. The last set is in the store, so a restart or another replica does not forget it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from keyless.errors import ConfigurationError, TransportError, UnavailableError
from keyless.jose.jwk import KeySet, thumbprint
from keyless.oidc.discovery import Fetcher, fetch_discovery
from keyless.oidc.issuer import Issuer
from keyless.oidc.jwks_cache import JwksCache
from keyless.oidc.pinned_keys import check_pinned_keys

_log = logging.getLogger("keyless.server")


@dataclass(frozen=True, slots=True)
class KeysReplaced:
    """Tell that no key of an issuer's last known set is left."""

    issuer: Issuer
    before: frozenset[str]
    after: frozenset[str]


OnReplaced = Callable[[KeysReplaced], None]


class SeenKeys(Protocol):
    """Where the last known keys are kept; see `keyless.server.store`."""

    def record_issuer_keys(self, issuer_id: int, seen: dict[str, str], *, actor: str) -> frozenset[str] | None:
        """Keep thumbprint -> key id; return the old ids when no old key is left."""


class IssuerKeyWatch:
    """Keep what was fetched and tell of sets that were swapped whole. For `JwksCache`'s `on_keys`. Thread-safe.

    Args:
        store: Keeps the last known keys.
        on_replaced: Told of each alarm, once among all processes of the store; besides the log and the audit trail.
    """

    def __init__(self, store: SeenKeys, *, on_replaced: OnReplaced | None = None) -> None:
        self._store = store
        self._on_replaced = on_replaced
        self._kept: dict[int, dict[str, str]] = {}  # bounded by the issuers on record

    def __call__(self, issuer: Issuer, keys: KeySet, *, actor: str = "serve") -> None:
        """Take note of a key set that was just fetched."""
        seen = {thumbprint(key.material): key.kid for key in keys.keys if key.kid is not None}
        if self._kept.get(issuer.id) == seen:
            return
        before = self._store.record_issuer_keys(issuer.id, seen, actor=actor)
        self._kept[issuer.id] = seen
        if before is None:
            return
        _log.warning(
            "issuer %s replaced all its keys at once (%d old, %d new): a rotation overlaps, a taken-over host does not",
            issuer.url,
            len(before),
            len(seen),
        )
        if self._on_replaced is not None:
            self._on_replaced(KeysReplaced(issuer, before, frozenset(seen.values())))


@dataclass(frozen=True, slots=True)
class Probe:
    """Say what a test fetch found (S08). `problem` is for the operator; with it, `kids` is empty."""

    kids: tuple[str, ...] = ()
    jwks_uri: str | None = None
    claims_supported: tuple[str, ...] = ()
    problem: str | None = None


def probe_issuer(issuer: Issuer, fetcher: Fetcher, watch: IssuerKeyWatch, *, actor: str) -> Probe:
    """Fetch an issuer's documents once, from here and under the rules of its record, and keep what its keys are (S08).

    A failure is an answer, not an error: an issuer may be saved while it is down (T39, K14).
    """
    if issuer.pinned_keys is not None:
        return Probe(tuple(sorted(check_pinned_keys(issuer.pinned_keys, now=0).kids)))
    cache = JwksCache(fetcher, on_keys=lambda found, keys: watch(found, keys, actor=actor))
    try:
        discovery = None if issuer.jwks_uri is not None else fetch_discovery(fetcher, issuer)
        kids = cache.refresh_now(issuer)
    except (TransportError, ConfigurationError, UnavailableError) as error:
        return Probe(problem=str(error.__cause__ or error))
    if discovery is None:
        return Probe(tuple(sorted(kids)), issuer.jwks_uri)
    return Probe(tuple(sorted(kids)), discovery.jwks_uri, discovery.claims_supported)
