"""A real store with one publisher in it, and a factory of grants that fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any

from keyless.oidc.issuer import ReplayMode
from keyless.resource import parse_resource
from keyless.server.database_url import DatabaseLocation, PostgresUrl
from keyless.server.store import Grant, Refusal, Store, open_store
from keyless.server.store.admin import Administration, NewPublisher
from keyless.trust.publisher import Publisher

PUBLIC_URL = "https://hub.example.org"
START = 1_800_000_000  # Unix seconds


@dataclass
class Clock:
    """A clock that moves only when a test moves it."""

    now: float = START

    def __call__(self) -> float:
        return self.now


class World:
    """A store on disk, its administration, one GitHub publisher of `acme/model`."""

    def __init__(self, location: DatabaseLocation) -> None:
        self.clock = Clock()
        self.location = location
        self.store: Store = open_store(location, clock=self.clock)
        self.store.ensure_default_resource_server(PUBLIC_URL, "keyless")
        self.admin = Administration(self.store, actor="test")
        self.resource = parse_resource("acme/model")
        self.publisher = self.add_publisher()
        self.numbers = count(1)

    @classmethod
    def on(cls, location: DatabaseLocation, other: World) -> World:
        """Open a database that has what another world has."""
        world = cls.__new__(cls)
        world.clock, world.location, world.resource = other.clock, location, other.resource
        world.store = open_store(location, clock=world.clock)
        world.admin = Administration(world.store, actor="test")
        world.publisher, world.numbers = other.publisher, other.numbers
        return world

    @property
    def location_text(self) -> str:
        """Return what a setting names this database by."""
        return self.location.reveal() if isinstance(self.location, PostgresUrl) else str(self.location)

    def add_publisher(self, **changes: Any) -> Publisher:
        fields: dict[str, Any] = {
            "resource": self.resource,
            "issuer_url": "https://token.actions.githubusercontent.com",
            "claims": {"repository": ["acme/train"], "branch": ["main"]},
            "pins": {"repository_id": "11", "repository_owner_id": "22"},
        }
        return self.admin.add_publisher(NewPublisher(**{**fields, **changes}))

    def add_unpinned_publisher(self, repository: str = "acme/new") -> Publisher:
        return self.add_publisher(claims={"repository": [repository]}, pins={}, pin_first_use=True)

    def grant(self, **changes: Any) -> Grant:
        number = next(self.numbers)
        publisher = changes.pop("publisher", self.publisher)
        now = int(self.clock())
        fields: dict[str, Any] = {
            "jti": f"token-{number}",
            "publisher_id": publisher.id,
            "publisher_version": publisher.version,
            "issuer_id": publisher.issuer_id,
            "replay_key": hashlib.sha256(str(number).encode()).digest(),
            "replay_mode": ReplayMode.ONCE,
            "replay_expires_at": now + 335,
            "resource": str(publisher.resource),
            "scope": "read write create",
            "audience": publisher.audience,
            "ci_subject": "repo:acme/train:ref:refs/heads/main",
            "issued_at": now,
            "expires_at": now + 3600,
            "request_id": f"request-{number}",
            "claims": {"repository": "acme/train"},
        }
        return Grant(**{**fields, **changes})

    def refusal(self, **changes: Any) -> Refusal:
        fields: dict[str, Any] = {
            "reason": "no_matching_publisher",
            "issuer_id": self.publisher.issuer_id,
            "request_id": f"request-{next(self.numbers)}",
            "at": int(self.clock()),
            "resource": str(self.resource),
            "ci_subject": "repo:evil/fork:ref:refs/heads/main",
        }
        return Refusal(**{**fields, **changes})

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(self.store.database.connect()) as connection:
            return connection.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Change rows as an intruder with the database's password would."""
        with closing(self.store.database.connect()) as connection:
            connection.execute(statement, values)

    @property
    def is_sqlite(self) -> bool:
        """Tell which engine it is."""
        return self.store.database.engine == "sqlite"

    def unprotect_audit(self) -> None:
        """Take the audit's triggers away, as an intruder with the owner's rights can."""
        if self.is_sqlite:
            for act in ("update", "delete"):
                self.change(f"DROP TRIGGER audit_event_no_{act}")
        else:
            self.change("ALTER TABLE audit_event DISABLE TRIGGER USER")

    def counts(self) -> Mapping[str, int]:
        """Return the number of claims, tokens and grant events."""
        return {
            "claims": self.rows("SELECT count(*) FROM replay_use")[0][0],
            "tokens": self.rows("SELECT count(*) FROM token")[0][0],
            "grants": self.rows("SELECT count(*) FROM audit_event WHERE kind = 'token.granted'")[0][0],
        }

    def close(self) -> None:
        self.admin.close()
        self.store.close()
