"""Which addresses a request may go to, as a table (S03, D20)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from keyless.http.addresses import why_refused
from keyless.oidc.issuer import Network, NetworkKind

PUBLIC = Network()
LOOPBACK = Network(NetworkKind.LOOPBACK)
PRIVATE = Network(NetworkKind.PRIVATE, (ip_network("10.20.0.0/16"), ip_network("fd12:3456::/32")))
WIDE_OPEN = Network(NetworkKind.PRIVATE, (ip_network("0.0.0.0/0"), ip_network("::/0")))

ON_THE_INTERNET = ["1.1.1.1", "140.82.112.3", "2606:50c0:8000::153", "2a00:1450:4001::1", "64:ff9b::8c52:7003"]
INSIDE = [
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "64:ff9b:1::1",
    "64:ff9b::a00:1",
    "100::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "::127.0.0.1",
    "::ffff:1.1.1.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
HERE = ["127.0.0.1", "127.255.255.254", "::1"]
NOT_AN_ADDRESS = ["", "localhost", "0x7f.1", "2130706433", "127.1", "fe80::1%eth0", "1.1.1.1%1", "2606:50c0::1%eth0"]


@pytest.mark.parametrize("address", ON_THE_INTERNET)
def test_a_public_address_is_allowed_to_public_and_private_networks(address: str) -> None:
    """S03, D20: `private` means besides, not instead."""
    assert [why_refused(address, network) for network in (PUBLIC, PRIVATE)] == [None, None]


@pytest.mark.parametrize("address", INSIDE + NEVER + HERE + NOT_AN_ADDRESS)
def test_everything_else_is_refused_to_a_public_issuer(address: str) -> None:
    """S03, T24: loopback, link-local, private, CGNAT, multicast, mapped and embedded forms, cloud metadata."""
    assert why_refused(address, PUBLIC)


@pytest.mark.parametrize(
    "address, allowed",
    [
        ("10.20.0.1", True),
        ("10.20.255.255", True),
        ("10.21.0.0", False),
        ("10.19.255.255", False),
        ("192.168.1.1", False),
        ("fd12:3456::1", True),
        ("fd12:3457::1", False),
        ("64:ff9b::a14:1", True),  # NAT64 of 10.20.0.1
        ("64:ff9b::a15:1", False),
        ("100.64.0.1", False),
    ],
)
def test_a_private_network_opens_what_it_names_only(address: str, allowed: bool) -> None:
    """D20: the operator's networks and no neighbour of theirs."""
    assert (why_refused(address, PRIVATE) is None) is allowed


@pytest.mark.parametrize("address", NEVER + HERE + NOT_AN_ADDRESS)
def test_no_private_network_opens_the_machine_or_cloud_metadata(address: str) -> None:
    """S03: not even `private(0.0.0.0/0, ::/0)`."""
    assert why_refused(address, WIDE_OPEN)


@pytest.mark.parametrize("address", HERE)
def test_loopback_opens_loopback(address: str) -> None:
    """D20: the demo's issuer needs no bypass."""
    assert why_refused(address, LOOPBACK) is None


@pytest.mark.parametrize("address", ON_THE_INTERNET + INSIDE + NEVER + NOT_AN_ADDRESS)
def test_loopback_opens_nothing_else(address: str) -> None:
    """D20: plain http must not leave the machine."""
    assert why_refused(address, LOOPBACK)


def test_an_unknown_kind_of_network_opens_nothing() -> None:
    """D20: a record written by a newer version is no permission."""

    class Later:
        kind = "anywhere"
        cidrs = ()
        proxy = ""
        hosts = ()

    assert why_refused("1.1.1.1", Later())
