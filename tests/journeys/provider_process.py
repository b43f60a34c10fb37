"""An identity provider that nobody here wrote: npm's oidc-provider with its own pages, as a process on loopback."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.nginx import ROOT
from tests.support.running import free_port

CLIENT_ID: Final = "keyless"
SERVER: Final = ROOT / "tests" / "journeys" / "identity_provider" / "server.mjs"
INSTALLED: Final = ROOT / ".venvs" / "identity-provider"
NODE: Final = ROOT / ".venvs" / "node" / "bin" / "node"
START_SECONDS: Final = 60.0  # of a loaded machine


@dataclass(frozen=True)
class IdentityProvider:
    """Where it is, and what it knows us by."""

    url: str
    secret: str


@contextmanager
def run_provider(folder: Path, pages_url: str, groups: Mapping[str, Sequence[str]]) -> Iterator[IdentityProvider]:
    """Start the provider; a missing one is a failure, not a skip.

    Args:
        folder: For its settings and its log.
        pages_url: Where it sends people back to.
        groups: What it says of whom; nothing of all others.
    """
    for needed in (INSTALLED / "node_modules" / "oidc-provider", NODE):
        if not needed.exists():
            pytest.fail(f"{needed} is missing: run `make journeys`")
    made = IdentityProvider(f"http://127.0.0.1:{free_port()}", secrets.token_urlsafe(24))
    settings = {
        "url": made.url,
        "client_id": CLIENT_ID,
        "client_secret": made.secret,
        "pages_url": pages_url,
        "groups": groups,
    }
    config, log = folder / "provider.json", folder / "provider.log"
    config.write_text(json.dumps(settings))
    # Modules are found from where the program stands, so a copy of it stands beside them.
    program = INSTALLED / "server.mjs"
    if not program.exists() or program.read_bytes() != SERVER.read_bytes():
        program.write_bytes(SERVER.read_bytes())
    environment = {"PROVIDER_CONFIG": str(config), "PATH": str(NODE.parent), "HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen([str(NODE), str(program)], env=environment, stdout=output, stderr=output, cwd=folder)
    try:
        _wait(made.url, process, log)
        yield made
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the identity provider did not start: {log.read_text()}")
