"""Exchanges of an hour, counted, for the first page; indexes that old rows of the feed are found by.

What a webhook is to be told of is due at the time of the event, so that the oldest one is found without looking at all.

Revision: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

# Frozen here on purpose, as in the first migration.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


# As in 0009, but for `next_at`.
CONDITION = (
    "NEW.kind <> 'token.granted' AND (substr(NEW.kind, 1, 10) = 'publisher.' OR NEW.kind IN "
    "('issuer.keys_replaced', 'issuer.key_distrusted', 'key.activated', 'key.distrusted'))"
)
_SQLITE = (
    "DROP TRIGGER outbox_audit_event",
    """
CREATE TRIGGER outbox_audit_event AFTER INSERT ON audit_event WHEN {condition} BEGIN
  INSERT INTO outbox (writer, sequence, attempts, next_at) VALUES (NEW.writer, NEW.sequence, 0, NEW.at);
END
""",
)
_POSTGRES = (
    """
CREATE OR REPLACE FUNCTION outbox_audit_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO outbox (writer, sequence, attempts, next_at) VALUES (NEW.writer, NEW.sequence, 0, NEW.at);
  RETURN NULL;
END $$
""",
)


def upgrade() -> None:
    """Create the table, say where counting begins, and add the index."""
    op.create_table(
        "exchange_hour",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("hour", Number, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("exchanges", Number, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "hour", "kind", "reason", name=op.f("pk_exchange_hour")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_exchange_hour_hour"), "exchange_hour", ["hour"], unique=False)
    op.bulk_insert(
        sa.table("meta", sa.column("key", sa.Text), sa.column("value", sa.BigInteger)),
        [{"key": "exchanges_counted_until", "value": 0}],
    )
    # Each of them is made in a fraction of a second: days of checkpoints, hours of changes of trust, and of publishers,
    # namespaces and resources those few that wait or are locked.
    op.create_index(op.f("ix_feed_at"), "feed", ["at"], unique=False)
    op.create_index(op.f("ix_checkpoint_at"), "checkpoint", ["at"], unique=False)
    for name, table, column, condition in (
        ("ix_publisher_pending_until", "publisher", "pending_until", "pending_until IS NOT NULL"),
        ("ix_namespace_locked", "namespace", "name", "state = 'locked'"),
        ("ix_resource_locked", "resource", "path", "state = 'locked'"),
    ):
        some = sa.text(condition)
        op.create_index(op.f(name), table, [column], unique=False, sqlite_where=some, postgresql_where=some)
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES:
        op.execute(statement.replace("{condition}", CONDITION))
