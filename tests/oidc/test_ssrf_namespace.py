"""SSRF where it would hurt: a network of the test's own, with cloud metadata, CGNAT and inside hosts to be reached.

The test starts this file as a program in a new network namespace (Linux). There the loopback interface gets the
addresses an attacker would like us to visit, each with a listener on the ports in question, and every issuer that
leads there is fetched with the real resolver order, the real sockets and real TLS. Nothing can leave the namespace: it
has no other interface. No tool is needed: namespaces and addresses are system calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest

from keyless.errors import TransportError
from keyless.http.deadline import Address, Deadline
from keyless.http.guarded import GuardedFetcher
from keyless.oidc.discovery import fetch_discovery
from keyless.oidc.issuer import Issuer, Network, NetworkKind
from tests.http.raw_server import http_answer, make_certificate

IN_CI = bool(os.environ.get("CI"))  # read now: tests run without the CI's variables
CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000
SIOCGIFINDEX, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFNETMASK = 0x8933, 0x8916, 0x8914, 0x891C
IFF_UP = 1
NO_NAMESPACE = 77

METADATA, CGNAT, INSIDE, ELSEWHERE, WIRE_SERVER = (
    "169.254.169.254",
    "100.64.0.1",
    "10.0.0.1",
    "10.9.0.1",
    "168.63.129.16",
)
PUBLIC_V4, PUBLIC_V6, METADATA_V6, INSIDE_V6 = "11.22.33.44", "2606:50c0:8000::153", "fd00:ec2::254", "fd12:3456::1"
ADDRESSES = (METADATA, CGNAT, INSIDE, ELSEWHERE, WIRE_SERVER, PUBLIC_V4, PUBLIC_V6, METADATA_V6, INSIDE_V6)
HERE = ("127.0.0.1", "::1")

PUBLIC, LOOPBACK = Network(), Network(NetworkKind.LOOPBACK)
PRIVATE = Network(NetworkKind.PRIVATE, (ip_network("10.0.0.0/24"), ip_network("fd12:3456::/32")))
TOO_WIDE = Network(NetworkKind.PRIVATE, (ip_network("0.0.0.0/0"), ip_network("::/0")))


# --- inside: the namespace and what lives there ---


def enter_namespace() -> None:
    """Leave the machine's network for an empty one; who may not do that goes through a user namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    user = os.geteuid()
    if libc.unshare(CLONE_NEWNET) != 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        addresses = [ip_address(text) for text in ADDRESSES]
        for number, v4 in enumerate(address for address in addresses if isinstance(address, IPv4Address)):
            for request, value in ((SIOCSIFADDR, v4.packed), (SIOCSIFNETMASK, b"\xff" * 4)):
                sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, value)
                fcntl.ioctl(control, request, struct.pack("16s16s8x", f"lo:{number}".encode(), sockaddr))
        index = struct.unpack("16si", fcntl.ioctl(control, SIOCGIFINDEX, struct.pack("16si", b"lo", 0)))[1]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        for v6 in (address for address in addresses if isinstance(address, IPv6Address)):
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("=16sIi", v6.packed, 128, index))


@dataclass
class Listener:
    """Count who connects; answer as the issuer the host name says."""

    address: str
    port: int
    tls: ssl.SSLContext | None
    connections: int = 0
    _socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((self.address, self.port))
        self._socket.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            sock = self._socket.accept()[0]
            self.connections += 1
            with contextlib.suppress(OSError):
                self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        with sock, self.tls.wrap_socket(sock, server_side=True) if self.tls else sock as channel:
            channel.settimeout(5)
            head = channel.recv(4096).decode("latin-1")
            host = head.partition("Host: ")[2].partition("\r\n")[0]
            url = f"{'https' if self.tls else 'http'}://{host}"
            channel.sendall(http_answer(json.dumps({"issuer": url, "jwks_uri": f"{url}/keys"}).encode()))


class Names:
    """Answer look-ups; a rebinding name says something else each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.look_ups = 0

    def __call__(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        self.look_ups += 1
        addresses = self.answers[min(self.look_ups, len(self.answers)) - 1]
        return [
            (int(socket.AF_INET6), (text, port, 0, 0)) if ":" in text else (int(socket.AF_INET), (text, port))
            for text in addresses
        ]


def attempts() -> list[tuple[str, str, Network, Names]]:
    """List (name, issuer URL, network, what its name resolves to)."""
    out: list[tuple[str, str, Network, Names]] = []
    for address in (METADATA, CGNAT, INSIDE, WIRE_SERVER, METADATA_V6, INSIDE_V6, *HERE, "::ffff:127.0.0.1"):
        out.append((f"public {address}", "https://issuer.example", PUBLIC, Names([address])))
        out.append((f"public mixed {address}", "https://issuer.example", PUBLIC, Names([PUBLIC_V4, address])))
        out.append((f"public, rebinding {address}", "https://issuer.example", PUBLIC, Names([PUBLIC_V4], [address])))
    for address in (METADATA, CGNAT, ELSEWHERE, WIRE_SERVER, METADATA_V6, *HERE):
        out.append((f"private {address}", "https://issuer.example", PRIVATE, Names([address])))
    for address in (METADATA, WIRE_SERVER, METADATA_V6, *HERE):
        out.append((f"private, all, {address}", "https://issuer.example", TOO_WIDE, Names([address])))
    for address in (METADATA, CGNAT, INSIDE, PUBLIC_V4, METADATA_V6):
        out.append((f"loopback {address}", "http://issuer.example", LOOPBACK, Names([address])))
        out.append((f"loopback mixed {address}", "http://issuer.example", LOOPBACK, Names(["127.0.0.1", address])))
    out.extend(
        [
            ("literal metadata", f"http://{METADATA}", PRIVATE, Names([METADATA])),
            ("allowed public", "https://issuer.example", PUBLIC, Names([PUBLIC_V4])),
            ("allowed public v6", "https://issuer.example", PUBLIC, Names([PUBLIC_V6])),
            ("allowed private", "https://issuer.example", PRIVATE, Names([INSIDE])),
            ("allowed private v6", "https://issuer.example", PRIVATE, Names([INSIDE_V6])),
            ("allowed loopback", "http://issuer.example", LOOPBACK, Names(["127.0.0.1"])),
            ("allowed loopback v6", "http://issuer.example", LOOPBACK, Names(["::1"])),
        ]
    )
    return out


def run_inside() -> list[dict[str, object]]:
    """Try every issuer; report who was connected to."""
    certificate = make_certificate(Path(tempfile.mkdtemp()), "issuer.example")
    listeners = [
        Listener(address, port, certificate.server_context if port == 443 else None)
        for address in (*ADDRESSES, *HERE)
        for port in (443, 80)
    ]
    report: list[dict[str, object]] = []
    for name, url, network, names in attempts():
        before = [listener.connections for listener in listeners]
        fetcher = GuardedFetcher(resolver=names, ssl_context=certificate.trusting_context())
        try:
            issuer = Issuer(id=1, url=url, kind="generic", network=network)
            outcome = fetch_discovery(fetcher, issuer, deadline=Deadline(5)).jwks_uri
        except TransportError as error:
            outcome = f"refused: {error.retryable}"
        except Exception as error:  # noqa: BLE001  # the outcome is what is reported
            outcome = type(error).__name__
        reached = [
            f"{listener.address}:{listener.port}"
            for listener, count in zip(listeners, before, strict=True)
            if listener.connections > count
        ]
        report.append({"name": name, "outcome": outcome, "reached": reached, "look_ups": names.look_ups})
    return report


def main() -> int:
    """Run in the namespace; 77 where the machine has none to give."""
    try:
        enter_namespace()
    except OSError as error:
        print(error, file=sys.stderr)
        return NO_NAMESPACE
    print(json.dumps(run_inside()))
    return 0


# --- outside: what must have happened ---


@pytest.fixture(scope="module")
def report() -> dict[str, dict[str, object]]:
    if sys.platform != "linux":
        pytest.skip("network namespaces are a feature of Linux")
    finished = subprocess.run(
        [sys.executable, "-m", "tests.oidc.test_ssrf_namespace"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    if finished.returncode == NO_NAMESPACE and not IN_CI:
        pytest.skip(f"this user may not make a network namespace: {finished.stderr.strip()}")
    assert finished.returncode == 0, finished.stderr
    return {str(entry["name"]): entry for entry in json.loads(finished.stdout)}


def test_nothing_that_a_network_does_not_allow_is_connected_to(report: dict[str, dict[str, object]]) -> None:
    """S03, D20, T24: not one connection to metadata, CGNAT, inside or loopback listeners."""
    reached = {
        name: entry["reached"]
        for name, entry in report.items()
        if not name.startswith("allowed") and "rebind" not in name
    }

    assert len(reached) > 40
    assert {name: where for name, where in reached.items() if where} == {}
    assert {str(report[name]["outcome"]) for name in reached} <= {"refused: False", "ConfigurationError"}


def test_a_rebinding_name_leads_to_the_vetted_address_only(report: dict[str, dict[str, object]]) -> None:
    """T27: looked up once, connected to what was vetted."""
    entries = [entry for name, entry in report.items() if "rebinding" in name]

    assert len(entries) == 9
    assert {(str(entry["reached"]), entry["look_ups"]) for entry in entries} == {(f"['{PUBLIC_V4}:443']", 1)}


@pytest.mark.parametrize(
    "name, where",
    [
        ("allowed public", f"{PUBLIC_V4}:443"),
        ("allowed public v6", f"{PUBLIC_V6}:443"),
        ("allowed private", f"{INSIDE}:443"),
        ("allowed private v6", f"{INSIDE_V6}:443"),
        ("allowed loopback", "127.0.0.1:80"),
        ("allowed loopback v6", "::1:80"),
    ],
)
def test_what_the_network_allows_works(report: dict[str, dict[str, object]], name: str, where: str) -> None:
    """D20: the same listeners do answer, so the silence of the others is the guard's."""
    entry = report[name]

    assert entry["reached"] == [where]
    assert str(entry["outcome"]).endswith("://issuer.example/keys")


if __name__ == "__main__":
    sys.exit(main())
