"""A service with the doors of package registries, and one trusted job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keyless.server.doors.package import find_door
from keyless.testing import FakeIssuer
from tests.server.service import Service
from tests.support.asgi import Answer, ask

URLS = {
    "pypi": "https://pypi.example.org/team",
    "npm": "https://npm.example.org:4873/registry",
    "oci": "https://oci.example.org",
}
DOORS = {name: {"url": url} for name, url in URLS.items()}
MINT = "/_/oidc/mint-token"


class Registries(Service):
    """A token service in front of package registries."""

    def __init__(self, directory: Path, issuer: FakeIssuer) -> None:
        super().__init__(directory, issuer, doors=DOORS)

    def audience(self, door: str) -> str:
        """Return the audience that a door announces."""
        return find_door(door).audiences(URLS[door])[0]

    def mint_for(self, door: str, **changes: Any) -> str:
        """Mint an id token for a door that the default publisher accepts, or what differs from that."""
        return self.mint(aud=self.audience(door), **changes)

    def mint_pypi(self, token: str | None = None, *, path: str = MINT, **changes: Any) -> Answer:
        """Ask the PyPI door for a token."""
        body = json.dumps({"token": self.mint_for("pypi", **changes) if token is None else token}).encode()
        return ask(self.app.public, "POST", path, body=body, headers={"Content-Type": "application/json"})
