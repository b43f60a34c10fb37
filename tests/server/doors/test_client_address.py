"""Whom a request behind proxies is from (T105)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from keyless.server.doors.client_address import ClientAddresses

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    [
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the left one was sent by the caller himself
        ("10.0.0.1", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),  # two lines are one list
        ("10.0.0.1", ["203.0.113.9, 10.2.3.4, 10.0.0.7"], "203.0.113.9"),  # two more proxies of ours
        ("10.0.0.1", ["10.2.3.4"], "10.2.3.4"),  # from inside
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # no proxy of ours: his header is his own business
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("fd00::1", ["2001:db8::9"], "2001:db8::9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9," + "10.0.0.2," * 40 + "10.0.0.3"], "10.0.0.2"),  # read no further than 32 hops
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours_counts(peer: str, lines: list[str], expected: str) -> None:
    """T105: right-most untrusted hop; nothing left of it is believed."""
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    assert ClientAddresses(TRUSTED).of(peer, headers) == expected


def test_without_trusted_proxies_no_header_is_read() -> None:
    """T105: the default believes nobody."""
    assert ClientAddresses().of("10.0.0.1", [(b"x-forwarded-for", b"203.0.113.9")]) == "10.0.0.1"


def test_forwarded_is_not_believed() -> None:
    """T105: a proxy that does not write it passes on what the caller wrote."""
    assert ClientAddresses(TRUSTED).of("10.0.0.1", [(b"forwarded", b"for=203.0.113.9")]) == "10.0.0.1"


def test_a_connection_without_an_address_has_none() -> None:
    """A Unix socket's peer has no address."""
    assert ClientAddresses(TRUSTED).of(None, [(b"x-forwarded-for", b"203.0.113.9")]) is None
