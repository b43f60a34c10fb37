"""The audit: signed checkpoints of all chains, anchors where old rows were pruned, and indexes to read it by.

Revision: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Frozen here on purpose: a migration must not change when the tables of a later release do.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the checkpoints' table anew (nothing ever wrote to the first one), the anchors' and the indexes."""
    op.drop_table("checkpoint")
    op.create_table(
        "checkpoint",
        sa.Column("number", Number, nullable=False, autoincrement=False),
        sa.Column("at", Number, nullable=False),
        sa.Column("last_id", Number, nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_checkpoint")),
        sqlite_strict=True,
    )
    op.create_table(
        "audit_anchor",
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("sequence", Number, nullable=False),
        sa.Column("at", Number, nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name=op.f("pk_audit_anchor")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.drop_index(op.f("ix_audit_event_resource_id"), "audit_event")
    op.create_index(op.f("ix_audit_event_at"), "audit_event", ["at"], unique=False)
    op.create_index(op.f("ix_audit_event_resource_at"), "audit_event", ["resource", "at"], unique=False)
    for name, columns, where in (
        # Most rows are grants: the rare kinds and the acts of people cost those rows nothing.
        ("ix_audit_event_publisher_id_at", ["publisher_id", "at"], "publisher_id IS NOT NULL"),
        ("ix_audit_event_kind_at", ["kind", "at"], "kind <> 'token.granted'"),
        ("ix_audit_event_actor_at", ["actor", "at"], "actor IS NOT NULL"),
    ):
        op.create_index(
            op.f(name),
            "audit_event",
            columns,
            unique=False,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_event_no_delete")
        op.execute(
            "CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event "
            "WHEN NOT EXISTS (SELECT 1 FROM audit_anchor a WHERE a.writer = OLD.writer AND a.sequence >= OLD.sequence) "
            "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        )
