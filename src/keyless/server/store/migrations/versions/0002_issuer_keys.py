"""What the operator says about an issuer's keys, and which keys were seen last.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Frozen here on purpose, as in the first migration.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns; issuers that are there keep what they had."""
    for column in (
        sa.Column("pinned_keys", sa.Text(), nullable=True),
        sa.Column("pinned_keys_expire_at", Number, nullable=True),
        sa.Column("distrusted_kids", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("key_refreshes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("seen_keys", sa.Text(), nullable=True),
    ):
        op.add_column("issuer", column)
