"""What many replicas and much data need: changes of trust announced, the audit closed, tables that churn kept small.

Revision: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# Trust is announced by whoever changes it, in whatever way; listeners hear of it when the change is committed.
ANNOUNCE = """
CREATE FUNCTION keyless_announce_trust() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('keyless_trust', NEW.value::text);
  RETURN NULL;
END $$;
CREATE TRIGGER meta_announce_trust AFTER UPDATE ON meta
FOR EACH ROW WHEN (NEW.key = 'trust_version' AND NEW.value <> OLD.value) EXECUTE FUNCTION keyless_announce_trust();
"""

# As on SQLite: no row is changed, and none deleted but those that a signed anchor stands for.
APPEND_ONLY = """
CREATE FUNCTION keyless_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF EXISTS (SELECT 1 FROM audit_anchor a WHERE a.writer = OLD.writer AND a.sequence >= OLD.sequence) THEN
      RETURN OLD;
    END IF;
  END IF;
  RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
FOR EACH ROW EXECUTE FUNCTION keyless_append_only();
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
FOR EACH STATEMENT EXECUTE FUNCTION keyless_append_only();
"""


def upgrade() -> None:
    """Add the index that contacts expire by; on PostgreSQL also triggers and storage settings."""
    # The oldest release that can work with this schema, by the revision it knows. A later migration that only adds
    # leaves it alone; one that takes away or changes what an older release uses has to raise it.
    op.bulk_insert(
        sa.table("meta", sa.column("key", sa.Text), sa.column("value", sa.BigInteger)),
        [{"key": "oldest_schema", "value": 10}],
    )
    op.create_index(op.f("ix_audit_contact_at"), "audit_contact", ["at"], unique=False)
    if op.get_bind().dialect.name != "postgresql":
        return
    for statements in (ANNOUNCE, APPEND_ONLY):
        op.execute(statements)
    # Claims and tokens live minutes: what is dead is taken away when it is a hundredth of the table, not a fifth.
    for table in ("replay_use", "token"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000)"
        )
    # Rows that are updated in place find room on their own page, so that no index has to be touched.
    for table in ("publisher", "meta", "publisher_hour"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")
