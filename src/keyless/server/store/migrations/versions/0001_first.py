"""The first schema.

Revision: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Frozen here on purpose: a migration must not change when the tables of a later release do.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "audit_contact",
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("sequence", Number, nullable=False),
        sa.Column("at", Number, nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("writer", "sequence", name=op.f("pk_audit_contact")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_event",
        sa.Column("id", Number, nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("sequence", Number, nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", Number, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("publisher_id", sa.Text(), nullable=True),
        sa.Column("issuer_id", sa.Integer(), nullable=True),
        sa.Column("resource", sa.Text(), nullable=True),
        sa.Column("jti", sa.Text(), nullable=True),
        sa.Column("ci_subject", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
        sa.UniqueConstraint("writer", "sequence", name=op.f("uq_audit_event_writer_sequence")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_audit_event_resource_id"), "audit_event", ["resource", "id"], unique=False)
    op.create_table(
        "checkpoint",
        sa.Column("id", Number, nullable=False),
        sa.Column("at", Number, nullable=False),
        sa.Column("heads", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint")),
        sqlite_strict=True,
    )
    op.create_table(
        "issuer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("algorithms", sa.Text(), nullable=False),
        sa.Column("max_lifetime_seconds", sa.Integer(), nullable=False),
        sa.Column("max_age_seconds", sa.Integer(), nullable=False),
        sa.Column("replay", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("jwks_uri", sa.Text(), nullable=True),
        sa.Column("allow_multiple_audiences", Flag, nullable=False),
        sa.Column("immutable_claims", sa.Text(), nullable=False),
        sa.Column("enabled", Flag, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.CheckConstraint("replay IN ('once', 'counted')", name=op.f("ck_issuer_replay")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuer")),
        sa.UniqueConstraint("url", name=op.f("uq_issuer_url")),
        sqlite_strict=True,
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", Number, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
        sqlite_strict=True,
    )
    op.create_table(
        "namespace",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.CheckConstraint("kind IN ('user', 'org', 'unknown')", name=op.f("ck_namespace_kind")),
        sa.CheckConstraint("state IN ('active', 'locked')", name=op.f("ck_namespace_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_namespace")),
        sa.UniqueConstraint("name", name=op.f("uq_namespace_name")),
        sqlite_strict=True,
    )
    op.create_table(
        "replay_use",
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("replay_key", sa.LargeBinary(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("used_at", Number, nullable=False),
        sa.Column("expires_at", Number, nullable=False),
        sa.CheckConstraint("n >= 1", name=op.f("ck_replay_use_n")),
        sa.PrimaryKeyConstraint("issuer_id", "replay_key", "n", name=op.f("pk_replay_use")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_replay_use_expires_at"), "replay_use", ["expires_at"], unique=False)
    op.create_table(
        "resource_server",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("token_prefix", sa.Text(), nullable=False),
        sa.Column("user_token_prefix", sa.Text(), nullable=False),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.Column("credential_hash", sa.LargeBinary(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resource_server")),
        sa.UniqueConstraint("audience", name=op.f("uq_resource_server_audience")),
        sa.UniqueConstraint("name", name=op.f("uq_resource_server_name")),
        sqlite_strict=True,
    )
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("encrypted_private", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("activated_at", Number, nullable=True),
        sa.Column("retired_at", Number, nullable=True),
        sa.CheckConstraint("state IN ('pending', 'active', 'retired')", name=op.f("ck_signing_key_state")),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
        sqlite_strict=True,
    )
    op.create_table(
        "token",
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("publisher_id", sa.Text(), nullable=False),
        sa.Column("publisher_version", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("ci_subject", sa.Text(), nullable=False),
        sa.Column("issued_at", Number, nullable=False),
        sa.Column("expires_at", Number, nullable=False),
        sa.Column("revoked_at", Number, nullable=True),
        sa.Column("revoked_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_token")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_token_expires_at"), "token", ["expires_at"], unique=False)
    op.create_table(
        "resource",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("namespace_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("publishers_only", Flag, nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'active', 'locked')", name=op.f("ck_resource_state")),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespace.id"], name=op.f("fk_resource_namespace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resource")),
        sa.UniqueConstraint("namespace_id", "type", "name", name=op.f("uq_resource_namespace_id_type_name")),
        sa.UniqueConstraint("path", name=op.f("uq_resource_path")),
        sqlite_strict=True,
    )
    op.create_table(
        "publisher",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("enabled", Flag, nullable=False),
        sa.Column("resource_id", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("resource_server_id", sa.Integer(), nullable=False),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.Column("ttl_seconds", sa.Integer(), nullable=True),
        sa.Column("expires_at", Number, nullable=True),
        sa.Column("replay", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("last_used_at", Number, nullable=True),
        sa.CheckConstraint("replay IN ('once', 'counted')", name=op.f("ck_publisher_replay")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_publisher_issuer_id")),
        sa.ForeignKeyConstraint(["resource_id"], ["resource.id"], name=op.f("fk_publisher_resource_id")),
        sa.ForeignKeyConstraint(
            ["resource_server_id"], ["resource_server.id"], name=op.f("fk_publisher_resource_server_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publisher")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_publisher_issuer_id"), "publisher", ["issuer_id"], unique=False)
    op.create_index(op.f("ix_publisher_resource_id_issuer_id"), "publisher", ["resource_id", "issuer_id"], unique=False)
    op.create_index(op.f("ix_publisher_resource_server_id"), "publisher", ["resource_server_id"], unique=False)
    op.create_table(
        "condition",
        sa.Column("publisher_id", sa.Text(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.CheckConstraint("operator IN ('eq', 'in', 'glob')", name=op.f("ck_condition_operator")),
        sa.CheckConstraint("value <> ''", name=op.f("ck_condition_not_empty")),
        sa.ForeignKeyConstraint(
            ["publisher_id"], ["publisher.id"], name=op.f("fk_condition_publisher_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("publisher_id", "claim", "value", name=op.f("pk_condition")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pin",
        sa.Column("publisher_id", sa.Text(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("pinned_at", Number, nullable=True),
        sa.Column("lapses_at", Number, nullable=True),
        sa.CheckConstraint("source IN ('given', 'first_use')", name=op.f("ck_pin_source")),
        sa.CheckConstraint("value <> ''", name=op.f("ck_pin_not_empty")),
        sa.ForeignKeyConstraint(
            ["publisher_id"], ["publisher.id"], name=op.f("fk_pin_publisher_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("publisher_id", "claim", name=op.f("pk_pin")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )

    op.bulk_insert(
        sa.table("meta", sa.column("key", sa.Text), sa.column("value", sa.BigInteger)),
        [{"key": "trust_version", "value": 1}],
    )
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_event_no_{act.lower()} BEFORE {act} ON audit_event "
                "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
            )


def downgrade() -> None:
    """Refuse: there is nothing before the first schema."""
    raise NotImplementedError("there is no schema before 0001")
