"""Which network addresses an outbound request may go to (S03, D20). Pure: no look-up, no connection.

The standard library's `is_global` follows the registry of special addresses of its own release, so the answer changes
between Python versions and knows nothing of cloud metadata. The lists here are ours; `is_global` is the second lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Protocol

IPNetwork = IPv4Network | IPv6Network


class AllowedNetwork(Protocol):
    """Say where a request may go: `kind` is `public`, `private`, `loopback` or `proxy`.

    `cidrs` counts for `private` only: what is allowed besides public addresses. `proxy` and `hosts` count for `proxy`
    only. `keyless.oidc.issuer.Network` is one.
    """

    @property
    def kind(self) -> str:
        """Return the kind of network."""

    @property
    def cidrs(self) -> Sequence[IPNetwork]:
        """Return the networks allowed besides public ones."""

    @property
    def proxy(self) -> str:
        """Return the URL of the http proxy to go through."""

    @property
    def hosts(self) -> Sequence[str]:
        """Return the hosts that may be asked for there, in lower case."""


# Refused whatever an operator's networks say: `private(0.0.0.0/0)` must not open the machine itself or the place
# where a cloud hands out credentials. Whoever wants loopback says `loopback`.
_NEVER: Final = tuple(
    (ip_network(cidr), reason)
    for cidr, reason in (
        ("0.0.0.0/8", "this network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),  # 169.254.169.254, .170.2 and .170.23 are cloud metadata and credentials
        ("100.100.100.200/32", "cloud metadata"),  # Alibaba Cloud, inside CGNAT space
        ("168.63.129.16/32", "cloud metadata"),  # Azure's wire server, inside public space
        ("192.0.0.192/32", "cloud metadata"),  # Oracle Cloud (classic)
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("2001::/32", "Teredo"),
        ("2002::/16", "6to4"),
        ("fd00:ec2::/32", "cloud metadata"),  # AWS, IPv6
        ("fd20:ce::/32", "cloud metadata"),  # Google Cloud, IPv6
        ("fd00:42::/32", "cloud metadata"),  # Scaleway, IPv6
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

# Neither public nor refused for ever: an operator may name them in `private(cidrs)`.
# IANA IPv4 and IPv6 Special-Purpose Address Registries, read 2026-11.
_NOT_PUBLIC: Final = tuple(
    (ip_network(cidr), reason)
    for cidr, reason in (
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "CGNAT"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("240.0.0.0/4", "reserved"),
        ("64:ff9b:1::/48", "private NAT64"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
    )
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")  # all that IANA has given out for use on the Internet
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1: the last four bytes are an IPv4 address


def _reason(address: IPv4Address | IPv6Address, table: Sequence[tuple[IPNetwork, str]]) -> str | None:
    return next((reason for network, reason in table if address in network), None)


def why_refused(address: str, network: AllowedNetwork) -> str | None:
    """Say why a request must not go to this address, or `None` where it may.

    Args:
        address: A numeric IPv4 or IPv6 address.
        network: What the operator allowed.

    Returns:
        The kind of address in a few words, for an operator; `None` when the address is allowed.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "not a numeric address"
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return "bound to one interface"
    if network.kind == "loopback":
        mapped = isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None
        return None if parsed.is_loopback and not mapped else "not loopback"
    # Behind DNS64 every IPv4-only host has such an address: what counts is where it leads.
    if isinstance(parsed, IPv6Address) and parsed in _NAT64:
        return why_refused(str(IPv4Address(int(parsed) & 0xFFFF_FFFF)), network)
    return _why_refused_outside(parsed, network)


def _why_refused_outside(address: IPv4Address | IPv6Address, network: AllowedNetwork) -> str | None:
    if (reason := _reason(address, _NEVER)) is not None:
        return reason
    if network.kind == "private":
        if any(address in cidr for cidr in network.cidrs):
            return None
    elif network.kind != "public":
        return "of no known kind of network"  # a value from a newer version of the store must not open anything
    if (reason := _reason(address, _NOT_PUBLIC)) is not None:
        return reason
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "not in public use"
    return None if address.is_global else "not public"
