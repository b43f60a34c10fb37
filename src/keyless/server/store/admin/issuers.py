"""Issuers: adding, listing, switching on and off. They are never deleted, because the audit speaks of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, insert, select, update

from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES, kind_of, profile_for
from keyless.jose.algorithms import ALGORITHMS
from keyless.jose.jwk import MAX_KID_CHARS
from keyless.oidc.issuer import Issuer, Network, NetworkKind, PinnedKeys, ReplayMode
from keyless.oidc.issuer_url import check_issuer_url, check_jwks_uri
from keyless.oidc.pinned_keys import check_pinned_keys
from keyless.server.audit.event import EventKind
from keyless.server.settings import is_loopback
from keyless.server.store import tables
from keyless.server.store.admin.change import Change
from keyless.server.store.admin.rules import check_replay, check_text
from keyless.server.store.records import ISSUER_COLUMNS, issuer_from_row, network_text

PUBLIC: Final = Network()
MAX_DISTRUSTED: Final = 64  # as many as an issuer may publish (K08)
MAX_LIFETIME_SECONDS: Final = 24 * 3600  # V12: nothing that proves who a job is should outlive a day
_COLUMNS: Final = tuple(tables.issuer.c[name.strip()] for name in ISSUER_COLUMNS.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIssuer:
    """Describe an issuer to add; `None` takes the preset of its kind.

    Attributes:
        url: What its tokens carry as `iss`, byte for byte.
        kind: Name of the claim profile; found from the URL when `None`.
        algorithms: Signature algorithms that are accepted.
        network: Where its documents may be fetched from (D20).
        replay: How often one id token may be exchanged (D8).
        max_lifetime_seconds: Bound of `exp - iat` and of the age (V12).
        jwks_uri: Its key set, when discovery should not be used (K09).
        allow_multiple_audiences: Accept `aud` lists with other members (V13).
        immutable_claims: Of a generic issuer: the claims that name an identity for good (M00b).
        pinned_keys: Its keys, when nothing may or can be fetched (K13).
    """

    url: str
    kind: str | None = None
    algorithms: Sequence[str] | None = None
    network: Network = PUBLIC
    replay: ReplayMode | None = None
    max_lifetime_seconds: int | None = None
    jwks_uri: str | None = None
    allow_multiple_audiences: bool = False
    immutable_claims: Sequence[str] = ()
    pinned_keys: PinnedKeys | None = None


def add(change: Change, new: NewIssuer) -> Issuer:
    """Add an issuer.

    Raises:
        ConfigurationError: The description cannot work, or the issuer is there already.
    """
    kind = new.kind or kind_of(new.url) or "generic"
    profile = profile_for(kind)
    if (known := _known_kind(new.url) or kind) != kind:
        # M00: under another kind the tenants of a shared issuer would not have to be told apart.
        raise ConfigurationError(f"{new.url} is the issuer of {known!r} and cannot be of kind {kind!r}")
    new = replace(new, network=_with_own_hosts(new))
    check_issuer_url(new.url, new.network)
    _check_host_is_local("issuer", new.url, new.network)
    if new.jwks_uri is not None:
        check_jwks_uri(new.jwks_uri, new.network)
        _check_host_is_local("jwks_uri", new.jwks_uri, new.network)
    if find(change.connection, new.url) is not None:
        raise ConfigurationError(f"issuer {new.url} is configured already")
    ours = tables.resource_server.c.audience
    if change.connection.execute(select(ours).where(ours == new.url.rstrip("/"))).first():
        # T17: a token of ours must never be exchanged for another one.
        raise ConfigurationError(f"{new.url} is this service itself and cannot be an issuer of id tokens")
    algorithms = tuple(new.algorithms or profile.algorithms)
    if unknown := [name for name in algorithms if name not in ALGORITHMS]:
        raise ConfigurationError(
            f"algorithm {unknown[0]!r} is not accepted", hint=f"Use some of: {', '.join(sorted(ALGORITHMS))}."
        )
    if new.immutable_claims and (own := (*profile.pin_claims, *profile.id_claims)):
        raise ConfigurationError(f"{kind} issuers have their own immutable claims: {', '.join(own)}")
    for claim in new.immutable_claims:
        check_text("immutable claim", claim)
        if " " in claim:
            raise ConfigurationError(f"immutable claim {claim!r} has a space in it")
    lifetime = new.max_lifetime_seconds or profile.max_lifetime_seconds
    if not 60 <= lifetime <= MAX_LIFETIME_SECONDS:
        raise ConfigurationError(f"max_lifetime is {lifetime} s; it must be 60-{MAX_LIFETIME_SECONDS} s")
    check_replay(profile, new.replay)
    pinned = new.pinned_keys
    kids = [] if pinned is None else sorted(check_pinned_keys(pinned, now=change.at).kids)
    values: dict[str, Any] = {
        "url": new.url,
        "kind": kind,
        "algorithms": " ".join(algorithms),
        "max_lifetime_seconds": lifetime,
        "max_age_seconds": new.max_lifetime_seconds or profile.max_age_seconds,
        "replay": (new.replay or profile.replay).value,
        "network": network_text(new.network),
        "jwks_uri": new.jwks_uri,
        "allow_multiple_audiences": new.allow_multiple_audiences or profile.allow_multiple_audiences,
        "immutable_claims": " ".join(new.immutable_claims),
        "pinned_keys_expire_at": None if pinned is None else pinned.expires_at,
    }
    unsaid = {"pinned_keys": None if pinned is None else pinned.jwks, "distrusted_kids": "[]", "key_refreshes": 0}
    key = change.connection.execute(
        insert(tables.issuer).values(**values, **unsaid, enabled=True, created_by=change.actor, created_at=change.at)
    ).inserted_primary_key
    number = int(key[0]) if key is not None else 0
    change.record(EventKind.ISSUER_ADDED, issuer_id=number, pinned_kids=kids, **values)
    found = find(change.connection, new.url)
    assert found is not None  # noqa: S101 - inserted above
    return found


def find(connection: Connection, url: str) -> Issuer | None:
    """Return the issuer of exactly this URL, or `None`."""
    row = connection.execute(select(*_COLUMNS).where(tables.issuer.c.url == url)).first()
    return None if row is None else issuer_from_row(tuple(row))


def read_all(connection: Connection) -> list[Issuer]:
    """Return all issuers, oldest first."""
    return [issuer_from_row(tuple(row)) for row in connection.execute(select(*_COLUMNS).order_by(tables.issuer.c.id))]


def page(connection: Connection, *, url: str | None, after: int | None, limit: int) -> list[Issuer]:
    """Return issuers with a higher number than `after`, by number; only that of `url` when one is given."""
    table = tables.issuer
    query = select(*_COLUMNS).where(table.c.id > (after or 0)).order_by(table.c.id).limit(limit)
    if url is not None:
        query = query.where(table.c.url == url)
    return [issuer_from_row(tuple(row)) for row in connection.execute(query)]


def ensure_provider(change: Change, provider: str) -> Issuer:
    """Return the issuer that everybody means by a provider's name, added on first use.

    Raises:
        ConfigurationError: No provider of that name has one issuer for everybody.
    """
    url = profile_for(provider).default_url
    if url is None:
        raise ConfigurationError(f"provider {provider!r} has no issuer of its own", hint="Name it with --issuer URL.")
    return find(change.connection, url) or add(change, NewIssuer(url=url, kind=provider))


def find_or_known(change: Change, url: str) -> Issuer:
    """Return the issuer of this URL; one that everybody knows is added on first use.

    Raises:
        ConfigurationError: It is neither configured nor known.
    """
    if (issuer := find(change.connection, url)) is not None:
        return issuer
    if (kind := _known_kind(url)) is not None:
        return ensure_provider(change, kind)
    raise unknown(url)


def unknown(url: str) -> ConfigurationError:
    """Return the error for an issuer that is not configured."""
    return ConfigurationError(f"issuer {url} is not configured", hint=f"Add it first: keyless trust issuer add {url}")


def set_enabled(change: Change, url: str, *, enabled: bool) -> Issuer:
    """Switch an issuer on or off; off, nothing of it is exchanged and its tokens stop working at once.

    Raises:
        ConfigurationError: There is no such issuer.
    """
    found = get(change.connection, url)
    if found.enabled != enabled:
        _set(change, found, enabled=enabled)
        change.record(EventKind.ISSUER_ENABLED if enabled else EventKind.ISSUER_DISABLED, issuer_id=found.id, url=url)
    return find(change.connection, url) or found


def pin_keys(change: Change, url: str, pinned: PinnedKeys | None) -> Issuer:
    """Pin an issuer's keys, or with `None` believe again what it publishes (K13).

    Raises:
        ConfigurationError: There is no such issuer, or the keys cannot be pinned.
    """
    found = get(change.connection, url)
    kids = [] if pinned is None else sorted(check_pinned_keys(pinned, now=change.at).kids)
    until = None if pinned is None else pinned.expires_at
    _set(change, found, pinned_keys=None if pinned is None else pinned.jwks, pinned_keys_expire_at=until)
    event = EventKind.ISSUER_KEYS_UNPINNED if pinned is None else EventKind.ISSUER_KEYS_PINNED
    change.record(event, issuer_id=found.id, url=url, kids=kids, expires_at=until)
    return get(change.connection, url)


def set_key_trusted(change: Change, url: str, kid: str, *, trusted: bool) -> Issuer:
    """Distrust the key of that id whatever its issuer publishes, or trust it again (K15).

    Raises:
        ConfigurationError: There is no such issuer, or that cannot be a key id.
    """
    found = get(change.connection, url)
    if not 1 <= len(kid) <= MAX_KID_CHARS or not kid.isprintable():
        raise ConfigurationError("that cannot be a key id", hint=f"It has 1-{MAX_KID_CHARS} printable characters.")
    kids = found.distrusted_kids - {kid} if trusted else found.distrusted_kids | {kid}
    if kids == found.distrusted_kids:
        return found
    if len(kids) > MAX_DISTRUSTED:
        raise ConfigurationError(
            f"an issuer has at most {MAX_DISTRUSTED} distrusted keys",
            hint="Trust those again that it does not publish any more, or disable the issuer.",
        )
    _set(change, found, distrusted_kids=json.dumps(sorted(kids)))
    event = EventKind.ISSUER_KEY_TRUSTED if trusted else EventKind.ISSUER_KEY_DISTRUSTED
    change.record(event, issuer_id=found.id, url=url, kid=kid)
    return get(change.connection, url)


def ask_for_refresh(change: Change, url: str) -> Issuer:
    """Let every process fetch the issuer's keys anew before it believes the next of its tokens (K15).

    Raises:
        ConfigurationError: There is no such issuer.
    """
    found = get(change.connection, url)
    _set(change, found, key_refreshes=found.key_refreshes + 1)
    change.record(EventKind.ISSUER_KEYS_REFRESHED, issuer_id=found.id, url=url)
    return get(change.connection, url)


def get(connection: Connection, url: str) -> Issuer:
    """Return the issuer of exactly this URL.

    Raises:
        ConfigurationError: There is no such issuer.
    """
    if (found := find(connection, url)) is None:
        raise unknown(url)
    return found


def _set(change: Change, issuer: Issuer, **values: object) -> None:
    change.connection.execute(update(tables.issuer).where(tables.issuer.c.id == issuer.id).values(**values))


def _with_own_hosts(new: NewIssuer) -> Network:
    """Return the network with the hosts that the record names itself among those of the outbound proxy (D20)."""
    if new.network.kind is not NetworkKind.PROXY:
        return new.network
    own = [urlsplit(url).hostname for url in (new.url, new.jwks_uri) if url is not None]
    return replace(new.network, hosts=tuple(dict.fromkeys([*filter(None, own), *new.network.hosts])))


def _known_kind(url: str) -> str | None:
    return next((profile.kind for profile in PROFILES.values() if profile.default_url == url), None)


def _check_host_is_local(what: str, url: str, network: Network) -> None:
    """Refuse plain http to another machine already when it is saved: the fetcher would refuse it for ever."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not (network.kind is NetworkKind.LOOPBACK and is_loopback(parts.hostname or "")):
        raise ConfigurationError(
            f"{what} {url!r} must be https",
            hint="Plain http is for an issuer on this machine only, added with --network loopback.",
        )
