"""The life of publishers: pending ones, caps, alarms, pauses, and the lock of everything.

Revision: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Frozen here on purpose: a migration must not change when the tables of a later release do.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns, the volume counters, the index of live tokens, and the lock, open."""
    for column in (
        sa.Column("pending_until", Number, nullable=True),
        sa.Column("max_live_tokens", sa.Integer(), nullable=True),
        sa.Column("max_grants_per_hour", sa.Integer(), nullable=True),
        sa.Column("max_run_attempt", sa.Integer(), nullable=True),
        sa.Column("paused_at", Number, nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
    ):
        op.add_column("publisher", column)
    op.create_table(
        "publisher_hour",
        sa.Column("publisher_id", sa.Text(), nullable=False),
        sa.Column("hour", Number, nullable=False),
        sa.Column("grants", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("publisher_id", "hour", name=op.f("pk_publisher_hour")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_token_live"),
        "token",
        ["publisher_id", "expires_at"],
        unique=False,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.bulk_insert(
        sa.table("meta", sa.column("key", sa.Text), sa.column("value", sa.BigInteger)),
        [{"key": "locked", "value": 0}],
    )
