"""Who the caller is when proxies stand between: the nearest address that no proxy of ours has (T105).

`X-Forwarded-For` is written from left to right, each proxy adding whom it saw. So it is read from the right, and only
as far as the addresses are those of proxies that the operator listed. Whatever stands further left, anybody may have
written. `Forwarded` (RFC 7239) is not read: a proxy that does not know it passes it on as the caller sent it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from keyless.server.doors.http import Scope

HEADER: Final = b"x-forwarded-for"
MAX_HOPS: Final = 32  # proxies in a row; a longer list is read no further
_Headers = Iterable[tuple[bytes, bytes]]


class ClientAddresses:
    """Find callers' addresses.

    Args:
        trusted: Networks of our proxies; nobody's header is read when there are none.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def of(self, peer: str | None, headers: _Headers) -> str | None:
        """Return the caller's address.

        Args:
            peer: The other end of the connection.
            headers: Of the request, names in lower case.
        """
        if not self._trusted or peer is None or not self._is_proxy(_parse(peer)):
            return peer
        hops = [hop for name, value in headers if name == HEADER for hop in value.decode("latin-1").split(",")]
        nearest = peer
        for hop in hops[: -MAX_HOPS - 1 : -1]:
            if (address := _parse(hop.strip())) is None:
                return nearest  # no address: nothing further left is worth more
            nearest = str(address)
            if not self._is_proxy(address):
                return nearest
        return nearest

    def put_into(self, scope: Scope) -> None:
        """Let an ASGI scope name the caller instead of the proxy."""
        client = scope.get("client")
        if not self._trusted or not client:
            return
        if (address := self.of(str(client[0]), scope["headers"])) != client[0]:
            scope["client"] = (address, 0)

    def _is_proxy(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address as proxies write it: bare, `[v6]`, `[v6]:port` or `v4:port`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
