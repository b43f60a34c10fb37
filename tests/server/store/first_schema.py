"""A database as the first revision left it, with something in every table."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import alembic.command
import alembic.config

from keyless.server.audit.chain import COLUMNS, Chain
from keyless.server.audit.event import AuditEvent
from keyless.server.store import migrations
from keyless.server.store.connection import Database
from keyless.server.store.engine import migration_engine
from keyless.server.store.sqlite import SqliteDatabase, create_file

# As release 0001 wrote them.
ROWS: Final[dict[str, dict[str, object]]] = {
    "namespace": {"name": "acme", "kind": "org", "state": "active", "created_at": 1},
    "resource": {
        "path": "models/acme/model",
        "type": "model",
        "namespace_id": 1,
        "name": "model",
        "state": "active",
        "publishers_only": 0,
        "created_at": 1,
    },
    "resource_server": {
        "name": "hub",
        "audience": "https://hub.example.org",
        "token_prefix": "kl_",
        "user_token_prefix": "kl_",
        "operations": "read write create",
        "created_by": "serve",
        "created_at": 1,
    },
    "issuer": {
        "url": "https://token.actions.githubusercontent.com",
        "kind": "github",
        "algorithms": "RS256",
        "max_lifetime_seconds": 3600,
        "max_age_seconds": 3600,
        "replay": "once",
        "network": "public",
        "allow_multiple_audiences": 0,
        "immutable_claims": "",
        "enabled": 1,
        "created_by": "cli:x",
        "created_at": 1,
    },
    "publisher": {
        "id": "pub_old",
        "version": 1,
        "enabled": 1,
        "resource_id": 1,
        "issuer_id": 1,
        "resource_server_id": 1,
        "operations": "read write create",
        "created_by": "cli:x",
        "created_at": 1,
    },
    "condition": {"publisher_id": "pub_old", "claim": "repository", "value": "acme/train", "operator": "eq"},
    "pin": {"publisher_id": "pub_old", "claim": "repository_id", "value": "11", "source": "given", "pinned_at": 1},
    "token": {
        "jti": "old",
        "publisher_id": "pub_old",
        "publisher_version": 1,
        "issuer_id": 1,
        "resource": "models/acme/model",
        "scope": "read",
        "audience": "https://hub.example.org",
        "ci_subject": "repo:acme/train",
        "issued_at": 1,
        "expires_at": 4_000_000_000,
    },
    "replay_use": {
        "issuer_id": 1,
        "replay_key": b"k" * 32,
        "n": 1,
        "jti": "old",
        "used_at": 1,
        "expires_at": 4_000_000_000,
    },
    "signing_key": {
        "kid": "kid",
        "purpose": "access-token",
        "algorithm": "ES256",
        "state": "active",
        "public_jwk": "{}",
        "nonce": b"n" * 12,
        "encrypted_private": b"e" * 99,
        "created_at": 1,
    },
    "audit_contact": {"writer": "w_old", "sequence": 1, "at": 1, "address": "192.0.2.1", "user_agent": "job"},
}
EVENT: Final = AuditEvent(at=1, kind="token.granted", publisher_id="pub_old", jti="old", resource="models/acme/model")


def migrate(database: Database, revision: str) -> None:
    """Run the migrations up to a revision."""
    if isinstance(database, SqliteDatabase):
        create_file(database.path)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    engine = migration_engine(database)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
    engine.dispose()


def fill(database: Database) -> None:
    """Put a row into every table of the first revision."""
    link = Chain("w_old").link(EVENT)
    event: dict[str, object] = dict(zip((name.strip() for name in COLUMNS.split(",")), link, strict=True))
    with closing(database.connect()) as connection:
        tables: dict[str, dict[str, object]] = {**ROWS, "audit_event": event}
        for table, row in tables.items():
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
