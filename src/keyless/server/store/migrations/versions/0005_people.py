"""People who manage trust: principals, roles, logins and idempotent creates.

Revision: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Frozen here on purpose: a migration must not change when the tables of a later release do.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "principal",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("oidc_issuer", sa.Text(), nullable=True),
        sa.Column("oidc_subject", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.CheckConstraint("kind IN ('person', 'machine')", name=op.f("ck_principal_kind")),
        sa.CheckConstraint("state IN ('active', 'disabled')", name=op.f("ck_principal_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principal")),
        sa.UniqueConstraint("name", name=op.f("uq_principal_name")),
        sa.UniqueConstraint("oidc_issuer", "oidc_subject", name=op.f("uq_principal_oidc_issuer_oidc_subject")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "role",
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.CheckConstraint("role IN ('admin', 'owner', 'viewer')", name=op.f("ck_role_role")),
        sa.CheckConstraint("role <> 'admin' OR namespace = ''", name=op.f("ck_role_admin_everywhere")),
        _of_principal("role"),
        sa.PrimaryKeyConstraint("principal_id", "role", "namespace", name=op.f("pk_role")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_role_role_namespace"), "role", ["role", "namespace"], unique=False)
    op.create_table(
        "login_code",
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tries_left", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("expires_at", Number, nullable=False),
        sa.Column("used_at", Number, nullable=True),
        sa.CheckConstraint("purpose IN ('bootstrap', 'login')", name=op.f("ck_login_code_purpose")),
        sa.CheckConstraint("(purpose = 'login') = (principal_id IS NOT NULL)", name=op.f("ck_login_code_whose")),
        _of_principal("login_code"),
        sa.PrimaryKeyConstraint("selector", name=op.f("pk_login_code")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_login_code_purpose_expires_at"), "login_code", ["purpose", "expires_at"], unique=False)
    op.create_index(op.f("ix_login_code_principal_id"), "login_code", ["principal_id"], unique=False)
    op.create_table(
        "login",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("expires_at", Number, nullable=False),
        sa.CheckConstraint("access IN ('full', 'read')", name=op.f("ck_login_access")),
        _of_principal("login"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_login_secret_hash")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_login_principal_id_id"), "login", ["principal_id", "id"], unique=False)
    op.create_index(op.f("ix_login_expires_at"), "login", ["expires_at"], unique=False)
    op.create_table(
        "idempotent_answer",
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("expires_at", Number, nullable=False),
        _of_principal("idempotent_answer"),
        sa.PrimaryKeyConstraint("principal_id", "key", name=op.f("pk_idempotent_answer")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_idempotent_answer_expires_at"), "idempotent_answer", ["expires_at"], unique=False)


def _of_principal(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_principal_id")
    return sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=name, ondelete="CASCADE")
