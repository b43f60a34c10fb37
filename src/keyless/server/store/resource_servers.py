"""Resource servers as the running service needs them: its own origin, and who may ask about tokens.

Through the driver: `keyless serve` starts without SQLAlchemy when there is nothing to migrate.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from keyless.errors import ConfigurationError
from keyless.resource import PACKAGE_TYPES, ResourceType
from keyless.secret import Secret
from keyless.server.audit.chain import INSERT_EVENT, Chain
from keyless.server.audit.event import AuditEvent, EventKind, event_data
from keyless.server.store.connection import Connection, Cursor
from keyless.server.store.ids import new_credential
from keyless.server.store.pinning import BUMP_TRUST
from keyless.server.store.records import ResourceServer, operations_from_text
from keyless.verifier.access_token import PACKAGE_PREFIXES

HUB: Final = "hub"
PROFILES: Final = {
    "keyless": ("kl_", "kl_"),
    "huggingface": ("hf_jwt_", "hf_oauth_"),
    **{kind.value: (prefix, prefix) for kind, prefix in PACKAGE_PREFIXES.items()},
}
"""Token profile -> prefix of a repository's token, prefix of an account's (D6). A package registry has its own."""
ALL_OPERATIONS: Final = "read write create"

_COLUMNS: Final = "name, audience, token_prefix, user_token_prefix, operations, credential_hash, kind"
_NO_CREDENTIAL: Final = bytes(32)


def _make(row: tuple[str, str, str, str, str, bytes | None, str]) -> ResourceServer:
    name, audience, prefix, user_prefix, operations, credential_hash, kind = row
    return ResourceServer(
        name, audience, prefix, user_prefix, operations_from_text(operations), credential_hash is not None, kind
    )


def kind_of_profile(profile: str) -> str:
    """Return what a resource server of a token profile holds: `hub`, or a type of package."""
    return profile if profile in {kind.value for kind in PACKAGE_TYPES} else HUB


def kind_of_type(type_: ResourceType) -> str:
    """Return the kind of resource server that a resource of a type lies in."""
    return type_.value if type_ in PACKAGE_TYPES else HUB


def hash_credential(credential: str) -> bytes:
    """Return what is stored of a credential. It has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()


def read_all(connection: Connection) -> tuple[ResourceServer, ...]:
    """Return all resource servers, the first one made leading."""
    query = f"SELECT {_COLUMNS} FROM resource_server ORDER BY id"  # noqa: S608 - constants
    return tuple(_make(row) for row in connection.execute(query))


def find_by_credential(connection: Connection, name: str, credential: Secret) -> ResourceServer | None:
    """Return the resource server of this name, if that is its credential.

    Compares in the same way whether or not the name exists (T20).
    """
    query = f"SELECT {_COLUMNS} FROM resource_server WHERE name = ?"  # noqa: S608 - constants
    row = connection.execute(query, (name.encode("utf-8", "replace").decode(),)).fetchone()
    stored = None if row is None else row[5]
    equal = hmac.compare_digest(hash_credential(credential.reveal()), stored or _NO_CREDENTIAL)
    return _make(row) if equal and stored is not None else None


def find_configured(connection: Connection, public_url: str, profile: str) -> ResourceServer | None:
    """Return the resource server of a URL in the settings if it is there and as the settings say, else `None`."""
    found = next((server for server in read_all(connection) if server.audience == public_url), None)
    if found is None or (found.token_prefix, found.user_token_prefix) != PROFILES[profile]:
        return None
    return found


def write_configured(
    cursor: Cursor, chain: Chain, public_url: str, profile: str, *, at: int, actor: str
) -> ResourceServer:
    """Make the resource server of a URL in the settings, or change the one of its kind's name to what they say now.

    Within the caller's transaction, with its audit row.

    Raises:
        ConfigurationError: The one of that URL or name is of another kind, and its publishers would change with it.
    """
    servers = read_all(cursor.connection)
    found = next((s for s in servers if s.audience == public_url), None) or next(
        (s for s in servers if s.name == kind_of_profile(profile)), None
    )
    if found is not None and found.kind != kind_of_profile(profile):
        raise ConfigurationError(
            f"resource server {found.name!r} ({found.audience}) is of kind {found.kind}, not {profile}",
            hint="Give the registry a URL of its own, or remove that one: keyless trust resource-server remove NAME",
        )
    prefix, user_prefix = PROFILES[profile]
    kind = EventKind.RESOURCE_SERVER_ADDED
    name = kind_of_profile(profile)
    if found is None:
        cursor.execute(
            "INSERT INTO resource_server (name, audience, token_prefix, user_token_prefix, operations, created_by,"
            " created_at, kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (name, public_url, prefix, user_prefix, ALL_OPERATIONS, actor, at, name),
        )
    else:
        kind, name = EventKind.RESOURCE_SERVER_CHANGED, found.name
        cursor.execute(
            "UPDATE resource_server SET audience = ?, token_prefix = ?, user_token_prefix = ? WHERE name = ?",
            (public_url, prefix, user_prefix, name),
        )
    data = event_data(resource_server=name, audience=public_url, profile=profile)
    _record(cursor, chain, AuditEvent(at=at, kind=kind.value, actor=actor, data=data))
    query = f"SELECT {_COLUMNS} FROM resource_server WHERE name = ?"  # noqa: S608 - constants
    return _make(cursor.execute(query, (name,)).fetchone())


def renew_credential(cursor: Cursor, chain: Chain, name: str, *, at: int, actor: str) -> Secret | None:
    """Replace a resource server's credential and return the new one; only its hash is kept."""
    credential = new_credential()
    cursor.execute("UPDATE resource_server SET credential_hash = ? WHERE name = ?", (hash_credential(credential), name))
    if cursor.rowcount != 1:
        return None
    data = event_data(resource_server=name, credential="renewed")
    kind = EventKind.RESOURCE_SERVER_CHANGED.value
    _record(cursor, chain, AuditEvent(at=at, kind=kind, actor=actor, data=data))
    return Secret(credential)


def _record(cursor: Cursor, chain: Chain, event: AuditEvent) -> None:
    cursor.execute(BUMP_TRUST)
    cursor.execute(INSERT_EVENT, chain.link(event))
