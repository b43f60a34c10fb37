"""Which replica fetches an issuer's keys when a token names one that nobody knows, and what it found.

Revision: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

# Frozen here on purpose, as in the first migration.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "key_turn",
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("began_ms", Number, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("jwks", sa.LargeBinary(), nullable=True),
        sa.Column("jwks_uri", sa.Text(), nullable=True),
        sa.Column("max_age_seconds", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_key_turn_issuer_id")),
        sa.PrimaryKeyConstraint("issuer_id", name=op.f("pk_key_turn")),
        sqlite_strict=True,
    )
