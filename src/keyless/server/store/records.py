"""Rows as the values the rest of the service works with, and back. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_network

from keyless.errors import ConfigurationError
from keyless.oidc.issuer import Issuer, Network, NetworkKind, PinnedKeys, ReplayMode
from keyless.oidc.issuer_url import check_outbound_proxy
from keyless.trust.publisher import Operation


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """A hub or registry that accepts our tokens.

    `audience` is the `aud` of its tokens; `token_prefix` and `user_token_prefix` stand before those for a repository
    and for an account (D6). `may_introspect` is true when it has a credential. `kind` is `hub`, or the type of its
    packages.
    """

    name: str
    audience: str
    token_prefix: str
    user_token_prefix: str
    operations: tuple[Operation, ...]
    may_introspect: bool = False
    kind: str = "hub"


DISTRUSTED_AT = 0
"""`retired_at` of a signing key that is distrusted: so long ago that it is not published any more."""


@dataclass(frozen=True, slots=True)
class SigningKeyRow:
    """A signing key at rest: the private part is encrypted, this room cannot read it (D21)."""

    kid: str
    purpose: str
    algorithm: str
    state: str
    public_jwk: str
    nonce: bytes
    encrypted_private: bytes
    created_at: int
    activated_at: int | None = None
    retired_at: int | None = None

    @property
    def shown_state(self) -> str:
        """Return the state as people know it: one may be `distrusted`: retired so long ago that it is gone."""
        return "distrusted" if self.retired_at == DISTRUSTED_AT else self.state


def network_text(network: Network) -> str:
    """Return the stored and shown form: `public`, `loopback`, `private=CIDR,CIDR` or `proxy=URL,HOST,HOST`."""
    if network.kind is NetworkKind.PRIVATE:
        return f"private={','.join(str(cidr) for cidr in network.cidrs)}"
    if network.kind is NetworkKind.PROXY:
        return f"proxy={','.join((network.proxy, *network.hosts))}"
    return network.kind.value


def parse_network(text: str) -> Network:
    """Parse what `network_text` writes.

    Raises:
        ConfigurationError: It is none of the four forms, or a CIDR is not a network.
    """
    if text in {NetworkKind.PUBLIC.value, NetworkKind.LOOPBACK.value}:
        return Network(NetworkKind(text))
    kind, _, rest = text.partition("=")
    members = [member.strip() for member in rest.split(",")]
    if kind == NetworkKind.PRIVATE.value and rest:
        try:
            return Network(NetworkKind.PRIVATE, tuple(ip_network(cidr) for cidr in members))
        except ValueError as error:
            raise ConfigurationError(f"network {text!r}: {error}") from None
    if kind == NetworkKind.PROXY.value and rest:
        check_outbound_proxy(members[0])
        return Network(NetworkKind.PROXY, proxy=members[0], hosts=tuple(host.lower() for host in members[1:] if host))
    raise ConfigurationError(
        f"network {text!r} is not known",
        hint="Write public, loopback, private=10.0.0.0/8,192.168.7.0/24, or proxy=http://proxy.example.org:3128,HOST.",
    )


ISSUER_COLUMNS = (
    "id, url, kind, algorithms, max_lifetime_seconds, max_age_seconds, replay, network, jwks_uri, "
    "allow_multiple_audiences, enabled, immutable_claims, pinned_keys, pinned_keys_expire_at, distrusted_kids, "
    "key_refreshes"
)


def issuer_from_row(row: tuple[object, ...]) -> Issuer:
    """Make an `Issuer` of a row of `ISSUER_COLUMNS`."""
    number, url, kind, algorithms, lifetime, age, replay, network, jwks_uri, multiple, enabled, immutable = row[:12]
    pinned, pinned_until, distrusted, refreshes = row[12:]
    return Issuer(
        id=int(str(number)),
        url=str(url),
        kind=str(kind),
        algorithms=tuple(str(algorithms).split()),
        max_lifetime_seconds=int(str(lifetime)),
        max_age_seconds=int(str(age)),
        replay=ReplayMode(str(replay)),
        network=parse_network(str(network)),
        jwks_uri=None if jwks_uri is None else str(jwks_uri),
        allow_multiple_audiences=bool(multiple),
        enabled=bool(enabled),
        immutable_claims=tuple(str(immutable).split()),
        pinned_keys=None if pinned is None else PinnedKeys(str(pinned), int(str(pinned_until))),
        distrusted_kids=frozenset(json.loads(str(distrusted))),
        key_refreshes=int(str(refreshes)),
    )


def operations_from_text(text: str) -> tuple[Operation, ...]:
    """Parse the stored form, names separated by spaces."""
    return tuple(Operation(name) for name in text.split())
