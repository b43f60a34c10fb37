"""Webhooks that are still to be delivered.

Written by a trigger beside the audit row, in its transaction, so that no event is missed, whoever makes it. What is in
an event is read from the audit when it is sent.

Revision: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# Frozen here on purpose, as in the first migration.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Grants are nearly all rows: the first comparison must be enough for them.
CONDITION = (
    "NEW.kind <> 'token.granted' AND (substr(NEW.kind, 1, 10) = 'publisher.' OR NEW.kind IN "
    "('issuer.keys_replaced', 'issuer.key_distrusted', 'key.activated', 'key.distrusted'))"
)
_SQLITE = """
CREATE TRIGGER outbox_audit_event AFTER INSERT ON audit_event WHEN {condition} BEGIN
  INSERT INTO outbox (writer, sequence, attempts, next_at) VALUES (NEW.writer, NEW.sequence, 0, 0);
END
"""
_POSTGRES = (
    """
CREATE FUNCTION outbox_audit_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO outbox (writer, sequence, attempts, next_at) VALUES (NEW.writer, NEW.sequence, 0, 0);
  RETURN NULL;
END $$
""",
    """
CREATE TRIGGER outbox_audit_event AFTER INSERT ON audit_event FOR EACH ROW WHEN ({condition})
EXECUTE FUNCTION outbox_audit_event()
""",
)


def upgrade() -> None:
    """Add the table and its trigger."""
    op.create_table(
        "outbox",
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("sequence", Number, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", Number, nullable=False),
        sa.PrimaryKeyConstraint("writer", "sequence", name=op.f("pk_outbox")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_outbox_next_at"), "outbox", ["next_at"], unique=False)
    for statement in (_SQLITE,) if op.get_bind().dialect.name == "sqlite" else _POSTGRES:
        op.execute(statement.replace("{condition}", CONDITION))
