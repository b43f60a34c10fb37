"""The tables, as administration sees them (design: namespaces, publishers, tokens, claims on id tokens, audit).

The same for both engines. The exchange path names the same columns in its own SQL (`mint.py`, `trust_reader.py`); a
test compares the migrated databases with this module. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

# STRICT tables know INTEGER, TEXT and BLOB only; on PostgreSQL these become BIGINT and SMALLINT.
Number = BigInteger().with_variant(Integer(), "sqlite")


class Flag(TypeDecorator[int]):
    """0 or 1 on both engines, so that the same SQL compares it; a `bool` may be written."""

    impl = SmallInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return INTEGER for SQLite's strict tables."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else SmallInteger())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Return 0 or 1."""
        del dialect
        return None if value is None else int(value)


metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True, nullable=False),
    Column("value", Number, nullable=False),
    sqlite_strict=True,
)

namespace = Table(
    "namespace",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    CheckConstraint("kind IN ('user', 'org', 'unknown')", name="kind"),
    CheckConstraint("state IN ('active', 'locked')", name="state"),
    _partial("ix_namespace_locked", "name", where="state = 'locked'"),
    sqlite_strict=True,
)

resource = Table(
    "resource",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False, unique=True),  # the canonical spelling, what tokens and audit rows carry
    Column("type", Text, nullable=False),
    Column("namespace_id", Integer, ForeignKey("namespace.id"), nullable=False),
    Column("name", Text, nullable=False),  # empty for an account
    Column("state", Text, nullable=False),
    Column("publishers_only", Flag, nullable=False),
    Column("created_at", Number, nullable=False),
    UniqueConstraint("namespace_id", "type", "name"),
    CheckConstraint("state IN ('pending', 'active', 'locked')", name="state"),
    _partial("ix_resource_locked", "path", where="state = 'locked'"),
    sqlite_strict=True,
)

resource_server = Table(
    "resource_server",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("audience", Text, nullable=False, unique=True),
    Column("token_prefix", Text, nullable=False),
    Column("user_token_prefix", Text, nullable=False),
    Column("operations", Text, nullable=False),
    Column("credential_hash", LargeBinary, nullable=True),  # NULL: it may not ask about tokens
    Column("kind", Text, nullable=False, server_default="hub"),  # hub, or the resource type of a package registry
    Column("created_by", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    sqlite_strict=True,
)

issuer = Table(
    "issuer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("algorithms", Text, nullable=False),  # separated by spaces
    Column("max_lifetime_seconds", Integer, nullable=False),
    Column("max_age_seconds", Integer, nullable=False),
    Column("replay", Text, nullable=False),
    Column("network", Text, nullable=False),  # public | loopback | private=CIDR,CIDR | proxy=URL,HOST
    Column("jwks_uri", Text, nullable=True),
    Column("allow_multiple_audiences", Flag, nullable=False),
    Column("immutable_claims", Text, nullable=False),  # separated by spaces
    Column("enabled", Flag, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("pinned_keys", Text, nullable=True),  # JWK set, instead of the one the issuer publishes
    Column("pinned_keys_expire_at", Number, nullable=True),
    Column("distrusted_kids", Text, nullable=False, server_default="[]"),  # JSON list
    Column("key_refreshes", Integer, nullable=False, server_default="0"),  # how often an operator asked for new keys
    Column("seen_keys", Text, nullable=True),  # JSON: thumbprint -> kid, of the last set that was fetched
    CheckConstraint("replay IN ('once', 'counted')", name="replay"),
    sqlite_strict=True,
)

publisher = Table(
    "publisher",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("version", Integer, nullable=False),
    Column("enabled", Flag, nullable=False),
    Column("resource_id", Integer, ForeignKey("resource.id"), nullable=False),
    Column("issuer_id", Integer, ForeignKey("issuer.id"), nullable=False),
    Column("resource_server_id", Integer, ForeignKey("resource_server.id"), nullable=False),
    Column("operations", Text, nullable=False),  # separated by spaces
    Column("ttl_seconds", Integer, nullable=True),
    Column("expires_at", Number, nullable=True),
    Column("replay", Text, nullable=True),
    Column("created_by", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("last_used_at", Number, nullable=True),
    Column("pending_until", Number, nullable=True),  # NULL: an ordinary one; else its resource does not exist yet
    Column("max_live_tokens", Integer, nullable=True),  # NULL: as the settings say; 0: any number
    Column("max_grants_per_hour", Integer, nullable=True),  # as above
    Column("max_run_attempt", Integer, nullable=True),
    Column("paused_at", Number, nullable=True),  # why `enabled` is 0, when the service or a person gave a reason
    Column("paused_reason", Text, nullable=True),
    CheckConstraint("replay IN ('once', 'counted')", name="replay"),
    Index(None, "resource_id", "issuer_id"),
    Index(None, "issuer_id"),
    Index(None, "resource_server_id"),
    _partial("ix_publisher_pending_until", "pending_until", where="pending_until IS NOT NULL"),
    sqlite_strict=True,
)

condition = Table(
    "condition",
    metadata,
    Column("publisher_id", Text, ForeignKey("publisher.id", ondelete="CASCADE"), nullable=False),
    Column("claim", Text, nullable=False),
    Column("value", Text, nullable=False),  # several rows of one claim are alternatives
    Column("operator", Text, nullable=False),
    PrimaryKeyConstraint("publisher_id", "claim", "value"),
    Index(None, "claim", "value"),
    CheckConstraint("operator IN ('eq', 'in', 'glob')", name="operator"),
    CheckConstraint("value <> ''", name="not_empty"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

pin = Table(
    "pin",
    metadata,
    Column("publisher_id", Text, ForeignKey("publisher.id", ondelete="CASCADE"), nullable=False),
    Column("claim", Text, nullable=False),
    Column("value", Text, nullable=True),  # NULL: waits for a first use, until lapses_at
    Column("source", Text, nullable=False),
    Column("pinned_at", Number, nullable=True),
    Column("lapses_at", Number, nullable=True),
    PrimaryKeyConstraint("publisher_id", "claim"),
    Index(None, "claim", "value"),
    CheckConstraint("source IN ('given', 'first_use')", name="source"),
    CheckConstraint("value <> ''", name="not_empty"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# No foreign keys from here on: these rows outlive the publisher they speak of.
token = Table(
    "token",
    metadata,
    Column("jti", Text, primary_key=True, nullable=False),
    Column("publisher_id", Text, nullable=False),
    Column("publisher_version", Integer, nullable=False),
    Column("issuer_id", Integer, nullable=False),
    Column("resource", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("ci_subject", Text, nullable=False),
    Column("issued_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Column("revoked_at", Number, nullable=True),
    Column("revoked_reason", Text, nullable=True),
    Index(None, "expires_at"),
    _partial("ix_token_live", "publisher_id", "expires_at", where="revoked_at IS NULL"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# How many tokens a publisher got in an hour of Unix time, where somebody wants an alarm (T78).
publisher_hour = Table(
    "publisher_hour",
    metadata,
    Column("publisher_id", Text, nullable=False),
    Column("hour", Number, nullable=False),
    Column("grants", Integer, nullable=False),
    PrimaryKeyConstraint("publisher_id", "hour"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What else a token is for, where a protocol cannot name one target; most tokens have no row here.
token_resource = Table(
    "token_resource",
    metadata,
    Column("jti", Text, ForeignKey("token.jti", ondelete="CASCADE"), nullable=False),
    Column("resource", Text, nullable=False),
    Column("publisher_id", Text, nullable=False),
    PrimaryKeyConstraint("jti", "resource"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

replay_use = Table(
    "replay_use",
    metadata,
    Column("issuer_id", Integer, nullable=False),
    Column("replay_key", LargeBinary, nullable=False),
    Column("n", Integer, nullable=False),
    Column("jti", Text, nullable=False),  # the token this use was exchanged for
    Column("used_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    PrimaryKeyConstraint("issuer_id", "replay_key", "n"),
    CheckConstraint("n >= 1", name="n"),
    Index(None, "expires_at"),
    sqlite_strict=True,
)

# Written by triggers (migration 0006): something changed about a subject; what is true of it is in the other tables.
feed = Table(
    "feed",
    metadata,
    Column("sequence", Number, primary_key=True, nullable=False, autoincrement=False),
    Column("mark", Text, nullable=False),  # tells two rows of one number apart, after a backup was restored
    Column("at", Number, nullable=True),  # set by housekeeping
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("audience", Text, nullable=True),  # NULL: every resource server's
    Index(None, "at"),
    sqlite_strict=True,
)

# Written by a trigger (migration 0009): audit events that a webhook is still to be told of.
outbox = Table(
    "outbox",
    metadata,
    Column("writer", Text, nullable=False),
    Column("sequence", Number, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Number, nullable=False),
    PrimaryKeyConstraint("writer", "sequence"),
    Index(None, "next_at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", Text, primary_key=True, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("public_jwk", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("encrypted_private", LargeBinary, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("activated_at", Number, nullable=True),
    Column("retired_at", Number, nullable=True),
    CheckConstraint("state IN ('pending', 'active', 'retired')", name="state"),
    sqlite_strict=True,
)

audit_event = Table(
    "audit_event",
    metadata,
    Column("id", Number, primary_key=True),
    Column("writer", Text, nullable=False),
    Column("sequence", Number, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("at", Number, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=True),
    Column("request_id", Text, nullable=True),
    Column("publisher_id", Text, nullable=True),
    Column("issuer_id", Integer, nullable=True),
    Column("resource", Text, nullable=True),
    Column("jti", Text, nullable=True),
    Column("ci_subject", Text, nullable=True),
    Column("reason", Text, nullable=True),
    Column("data", Text, nullable=True),  # JSON object: allow-listed claims, details
    UniqueConstraint("writer", "sequence"),
    Index(None, "at"),
    Index(None, "resource", "at"),
    _partial("ix_audit_event_publisher_id_at", "publisher_id", "at", where="publisher_id IS NOT NULL"),
    _partial("ix_audit_event_kind_at", "kind", "at", where="kind <> 'token.granted'"),
    _partial("ix_audit_event_actor_at", "actor", "at", where="actor IS NOT NULL"),
    sqlite_strict=True,
)

# Which replica fetches an issuer's keys when a token names one that nobody knows, and what it found (K03).
key_turn = Table(
    "key_turn",
    metadata,
    Column("issuer_id", Integer, ForeignKey("issuer.id"), primary_key=True, nullable=False, autoincrement=False),
    Column("began_ms", Number, nullable=False),
    Column("source", Text, nullable=False),
    Column("jwks", LargeBinary, nullable=True),  # NULL: the fetch is under way
    Column("jwks_uri", Text, nullable=True),
    Column("max_age_seconds", Integer, nullable=True),
    sqlite_strict=True,
)

# Counted from the audit by housekeeping: what pictures of a day are made of.
exchange_hour = Table(
    "exchange_hour",
    metadata,
    Column("namespace", Text, nullable=False),  # empty: all of them
    Column("hour", Number, nullable=False),  # Unix time / 3600
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("exchanges", Number, nullable=False),
    PrimaryKeyConstraint("namespace", "hour", "kind", "reason"),
    Index(None, "hour"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Apart from the chain, because it holds personal data and is deleted on its own schedule (D15).
audit_contact = Table(
    "audit_contact",
    metadata,
    Column("writer", Text, nullable=False),
    Column("sequence", Number, nullable=False),
    Column("at", Number, nullable=False),
    Column("address", Text, nullable=True),
    Column("user_agent", Text, nullable=True),
    PrimaryKeyConstraint("writer", "sequence"),
    Index(None, "at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What the chains were at a moment, signed with a key that is not in the database (D15).
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("at", Number, nullable=False),
    Column("last_id", Number, nullable=False),  # the newest audit row it looked at
    Column("statement", Text, nullable=False),  # compact JWS
    Index(None, "at"),
    sqlite_strict=True,
)

# Where a chain begins whose older events were pruned: `statement` is signed as checkpoints are.
audit_anchor = Table(
    "audit_anchor",
    metadata,
    Column("writer", Text, primary_key=True, nullable=False),
    Column("sequence", Number, nullable=False),  # the last event that was pruned
    Column("at", Number, nullable=False),
    Column("statement", Text, nullable=False),  # compact JWS
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Who may manage trust (D13). An account of a machine can only read.
principal = Table(
    "principal",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("oidc_issuer", Text, nullable=True),  # with oidc_subject: who this is at a provider that people sign in with
    Column("oidc_subject", Text, nullable=True),
    Column("created_by", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    UniqueConstraint("oidc_issuer", "oidc_subject"),
    CheckConstraint("kind IN ('person', 'machine')", name="kind"),
    CheckConstraint("state IN ('active', 'disabled')", name="state"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

role = Table(
    "role",
    metadata,
    Column("principal_id", Text, ForeignKey("principal.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("namespace", Text, nullable=False),  # empty: everywhere
    PrimaryKeyConstraint("principal_id", "role", "namespace"),
    CheckConstraint("role IN ('admin', 'owner', 'viewer')", name="role"),
    CheckConstraint("role <> 'admin' OR namespace = ''", name="admin_everywhere"),
    Index(None, "role", "namespace"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

login_code = Table(
    "login_code",
    metadata,
    Column("selector", Text, primary_key=True, nullable=False),  # the part of the code that is no secret
    Column("purpose", Text, nullable=False),
    Column("principal_id", Text, ForeignKey("principal.id", ondelete="CASCADE"), nullable=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("tries_left", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Column("used_at", Number, nullable=True),
    CheckConstraint("purpose IN ('bootstrap', 'login')", name="purpose"),
    CheckConstraint("(purpose = 'login') = (principal_id IS NOT NULL)", name="whose"),
    Index(None, "purpose", "expires_at"),
    Index(None, "principal_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

login = Table(
    "login",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("principal_id", Text, ForeignKey("principal.id", ondelete="CASCADE"), nullable=False),
    Column("access", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    Column("created_by", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    CheckConstraint("access IN ('full', 'read')", name="access"),
    Index(None, "principal_id", "id"),
    Index(None, "expires_at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# The answer of a create that was asked for with an Idempotency-Key, to be given again.
idempotent_answer = Table(
    "idempotent_answer",
    metadata,
    Column("principal_id", Text, ForeignKey("principal.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),  # JSON object
    Column("body", Text, nullable=False),  # JSON
    Column("expires_at", Number, nullable=False),
    PrimaryKeyConstraint("principal_id", "key"),
    Index(None, "expires_at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# A browser's session: its cookie is stored as a hash only, and the row can be listed and deleted.
web_session = Table(
    "web_session",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("principal_id", Text, ForeignKey("principal.id", ondelete="CASCADE"), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    Column("how", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("proven_at", Number, nullable=False),  # when the person last proved who it is
    Column("seen_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Column("address", Text, nullable=True),
    Column("user_agent", Text, nullable=True),
    CheckConstraint("how IN ('code', 'oidc')", name="how"),
    Index(None, "principal_id", "id"),
    Index(None, "expires_at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# An attempt to sign in at an identity provider: of the browser's secret only the hash, and what to do afterwards.
web_sign_in = Table(
    "web_sign_in",
    metadata,
    Column("secret_hash", LargeBinary, primary_key=True, nullable=False),
    Column("principal_id", Text, ForeignKey("principal.id", ondelete="CASCADE"), nullable=True),  # who is to prove it
    Column("after", Text, nullable=False),  # the page to go on with
    Column("created_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Index(None, "principal_id"),
    Index(None, "expires_at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
