"""An issuer as JSON, and back."""

from __future__ import annotations

from collections.abc import Iterable

from keyless.errors import ConfigurationError
from keyless.oidc.issuer import Issuer, PinnedKeys, ReplayMode
from keyless.server.representations import reading
from keyless.server.representations.reading import Json
from keyless.server.store.records import network_text, parse_network


def issuer_json(issuer: Issuer) -> dict[str, object]:
    """Return an issuer; of pinned keys only when they end."""
    return {
        "id": issuer.id,
        "url": issuer.url,
        "kind": issuer.kind,
        "algorithms": list(issuer.algorithms),
        "max_lifetime_seconds": issuer.max_lifetime_seconds,
        "max_age_seconds": issuer.max_age_seconds,
        "replay": issuer.replay.value,
        "network": network_text(issuer.network),
        "jwks_uri": issuer.jwks_uri,
        "allow_multiple_audiences": issuer.allow_multiple_audiences,
        "immutable_claims": list(issuer.immutable_claims),
        "enabled": issuer.enabled,
        "keys_pinned_until": None if issuer.pinned_keys is None else issuer.pinned_keys.expires_at,
        "distrusted_kids": sorted(issuer.distrusted_kids),
    }


def issuer_from_json(content: Json) -> Issuer:
    """Read what `issuer_json` writes; pinned keys come back without their text.

    Raises:
        ResponseError: It is something else.
    """
    until = reading.maybe_number(content, "keys_pinned_until")
    try:
        network = parse_network(reading.text(content, "network"))
    except ConfigurationError as error:
        raise reading.unexpected("network") from error
    return Issuer(
        id=reading.number(content, "id"),
        url=reading.text(content, "url"),
        kind=reading.text(content, "kind"),
        algorithms=reading.texts(content, "algorithms"),
        max_lifetime_seconds=reading.number(content, "max_lifetime_seconds"),
        max_age_seconds=reading.number(content, "max_age_seconds"),
        replay=reading.choice(content, "replay", ReplayMode),
        network=network,
        jwks_uri=reading.maybe_text(content, "jwks_uri"),
        allow_multiple_audiences=reading.flag(content, "allow_multiple_audiences"),
        enabled=reading.flag(content, "enabled"),
        immutable_claims=reading.texts(content, "immutable_claims"),
        pinned_keys=None if until is None else PinnedKeys("", until),
        distrusted_kids=frozenset(reading.texts(content, "distrusted_kids")),
    )


def issuer_keys_json(issuer: Issuer, seen: Iterable[str]) -> dict[str, object]:
    """Return what is known of an issuer's keys: those of its last fetched set, and what an operator said about them."""
    return {
        "url": issuer.url,
        "seen": sorted(set(seen)),
        "distrusted": sorted(issuer.distrusted_kids),
        "pinned_until": None if issuer.pinned_keys is None else issuer.pinned_keys.expires_at,
    }
