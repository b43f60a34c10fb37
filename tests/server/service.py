"""A whole token service in this process: real keys, a real database, a real issuer on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from keyless.oidc.issuer import Network, NetworkKind, ReplayMode
from keyless.resource import parse_resource
from keyless.server.app import TokenService
from keyless.server.settings import Settings
from keyless.server.store.admin import Administration, NewIssuer, NewPublisher
from keyless.testing import Clock, FakeIssuer, github_claims
from keyless.trust.publisher import Publisher
from tests.support.asgi import Answer, ask

KEY_ENCRYPTION_KEY = base64.b64encode(bytes(range(32))).decode()
PUBLIC_URL = "http://127.0.0.1:8080"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


class Service:
    """A token service, its administration, and the one request everything else is a change of."""

    def __init__(self, directory: Path, issuer: FakeIssuer, *, fresh: bool = True, **changes: Any) -> None:
        self.clock = Clock()
        self.monotonic = Clock(0)
        self.issuer = issuer
        self.directory = directory
        given = {"database": directory / "keyless.db", "key_encryption_key": KEY_ENCRYPTION_KEY, **changes}
        if isinstance(given["database"], Path):
            del given["key_encryption_key"]  # there is a secret.key beside the file
        settings = Settings(public_url=PUBLIC_URL, **given)
        self.app = TokenService(settings, inside_url="http://127.0.0.1:1", clock=self.clock, monotonic=self.monotonic)
        self.administration = Administration(self.app.store, actor="cli:test")
        if fresh:
            new = NewIssuer(url=issuer.url, kind="github", network=Network(NetworkKind.LOOPBACK))
            self.administration.add_issuer(new)

    def add_publisher(self, resource: str = "acme/model", **changes: Any) -> Publisher:
        """Trust branch main and one workflow of acme/widgets, or what differs from that."""
        description: dict[str, Any] = {
            "issuer_url": self.issuer.url,
            "claims": {"repository": ["acme/widgets"], "branch": ["main"], "workflow": ["train.yml"]},
            "pins": {"repository_id": "456789", "repository_owner_id": "123456"},
            **changes,
        }
        return self.administration.add_publisher(NewPublisher(resource=parse_resource(resource), **description))

    def set_replay(self, mode: ReplayMode) -> None:
        """Replace the publishers by one that overrides its issuer's replay rule (D8)."""
        for publisher in self.administration.publishers():
            self.administration.remove_publisher(publisher.id)
        self.add_publisher(replay=mode)

    def mint(self, **changes: Any) -> str:
        """Mint an id token that the default publisher accepts, or what differs from that."""
        claims = github_claims(aud=PUBLIC_URL)
        key, header = changes.pop("key", None), changes.pop("header", None)
        lifetime_seconds = changes.pop("lifetime_seconds", 300)
        return self.issuer.mint(claims, key=key, header=header, lifetime_seconds=lifetime_seconds, **changes)

    def members(self, token: str, **changes: str | None) -> dict[str, str]:
        """Return the accepted request's members, or what differs; `None` leaves one out."""
        base = {
            "grant_type": GRANT,
            "subject_token_type": ID_TOKEN,
            "subject_token": token,
            "resource": "acme/model",
        }
        return {name: value for name, value in {**base, **changes}.items() if value is not None}

    def post(self, members: Mapping[str, object], path: str = "/oauth/token") -> Answer:
        """Post members as JSON to the public listener."""
        body = json.dumps(members).encode()
        return ask(self.app.public, "POST", path, body=body, headers={"Content-Type": "application/json"})

    def exchange(self, token: str | None = None, **changes: str | None) -> Answer:
        """Exchange a token."""
        return self.post(self.members(self.mint() if token is None else token, **changes))

    def audit(self) -> list[tuple[str, str | None]]:
        """Return kind and reason of every audit row, oldest first."""
        return [(kind, reason) for kind, reason in self.rows("SELECT kind, reason FROM audit_event ORDER BY id")]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds in the database."""
        with closing(self.app.store.database.connect()) as connection:
            return connection.execute(query, values).fetchall()

    def kept(self) -> str:
        """Return all that the service has kept: its files, and the rows of a database that is not one of them."""
        text = b"".join(path.read_bytes() for path in self.directory.iterdir() if path.is_file()).decode("latin-1")
        if self.app.store.database.engine == "postgresql":
            for (name,) in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                text += "\n".join(str(row) for row in self.rows(f"SELECT t::text FROM {name} t"))
        return text
