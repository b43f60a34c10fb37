"""What every test gets without asking: a clean environment and no way off this machine."""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from keyless.providers.order import ORDER

# No deadline: the machine is shared, and a slow example is not a wrong one.
settings.register_profile("default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Whatever a CI platform, a machine, a proxy or a developer's login put into the environment would change the result.
# What our detection looks at: the markers themselves, and everything else that begins like one.
MARKERS = {marker for entry in ORDER for marker in entry.markers}
FOREIGN_PREFIXES = (
    *sorted({f"{marker.partition('_')[0]}_" for marker in MARKERS}),
    "ACTIONS_",
    "AGENT_",
    "CIRCLE_",
    "CI_",
    "CLOUDSDK_",
    "GITEA_",
    "GOOGLE_",
    "HUGGING",
    "RUNNER_",
    "SYSTEM_",
)
FOREIGN_NAMES = {
    *MARKERS, "ACT", "ALL_PROXY", "CI", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
}  # fmt: skip
OURS = {"KEYLESS_TEST_HF", "KEYLESS_TEST_SCREENSHOTS"}  # another client to test with than those of `make journeys`


class NetworkBlockedError(AssertionError):
    """A test tried to leave the machine."""


def _refuse_the_world(event: str, arguments: tuple[object, ...]) -> None:
    """Stop connections to anything but loopback and Unix sockets (an audit hook: no library can go round it)."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and not ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise NetworkBlockedError(f"{event} to {address[0]}: tests stay on loopback")
    elif event == "socket.getaddrinfo":
        host = arguments[0]
        name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host or "")
        if name.rstrip(".") == "localhost" or name.endswith(".localhost"):
            return
        try:
            ip_address(name.partition("%")[0])
        except ValueError:
            # As on a machine without a network, so what is under test meets an error that it knows.
            raise socket.gaierror(socket.EAI_NONAME, f"{name}: tests resolve no names") from None


def pytest_configure(config: pytest.Config) -> None:
    """Close the door before the first test module is imported."""
    del config
    sys.addaudithook(_refuse_the_world)


@pytest.fixture(scope="session")
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home folder: no developer's token file, no configuration."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, nobodys_home: Path) -> None:
    """Run every test as if outside any CI, logged in nowhere and without a proxy."""
    for name in list(os.environ):
        if (name.startswith(FOREIGN_PREFIXES) or name.upper() in FOREIGN_NAMES) and name not in OURS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(nobodys_home))
