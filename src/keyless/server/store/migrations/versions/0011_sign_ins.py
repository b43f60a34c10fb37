"""Attempts to sign in at an identity provider.

Revision: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

# Frozen here on purpose: a migration must not change when the tables of a later release do.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "web_sign_in",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("expires_at", Number, nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principal.id"], name=op.f("fk_web_sign_in_principal_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_web_sign_in")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_web_sign_in_principal_id"), "web_sign_in", ["principal_id"], unique=False)
    op.create_index(op.f("ix_web_sign_in_expires_at"), "web_sign_in", ["expires_at"], unique=False)
