"""What resource servers ask for: the revocation feed.

Written by triggers, so that no change of the tables is missed, whoever makes it. Each row says only that something
changed; what is true now is read from the tables when a resource server asks.

Revision: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# Frozen here on purpose, as in the first migration.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# table, event, its columns, a condition, and of the row that is written: kind, subject, audience
_SERVER = "(SELECT s.audience FROM resource_server s WHERE s.id = OLD.resource_server_id)"
_PUBLISHER = ("version", "enabled", "expires_at", "operations", "resource_id", "issuer_id", "resource_server_id")
TRIGGERS = (
    ("token", "UPDATE", ("revoked_at",), "NEW.revoked_at {differs} OLD.revoked_at", "token", "NEW.jti", "NEW.audience"),
    ("publisher", "UPDATE", _PUBLISHER, "1 = 1", "publisher", "OLD.id", _SERVER),
    ("publisher", "DELETE", (), "1 = 1", "publisher", "OLD.id", _SERVER),
    ("issuer", "UPDATE", ("enabled",), "NEW.enabled <> OLD.enabled", "issuer", "OLD.url", "NULL"),
    ("resource", "UPDATE", ("state", "path", "namespace_id"), "1 = 1", "resource", "OLD.path", "NULL"),
    ("resource", "DELETE", (), "1 = 1", "resource", "OLD.path", "NULL"),
    ("namespace", "UPDATE", ("state", "name"), "1 = 1", "namespace", "OLD.name", "NULL"),
    ("namespace", "DELETE", (), "1 = 1", "namespace", "OLD.name", "NULL"),
    ("signing_key", "UPDATE", ("state", "retired_at"), "1 = 1", "key", "OLD.kid", "NULL"),
    ("signing_key", "DELETE", (), "1 = 1", "key", "OLD.kid", "NULL"),
    ("meta", "UPDATE", ("value",), "NEW.key = 'locked' AND NEW.value <> OLD.value", "service", "NEW.key", "NULL"),
)


def upgrade() -> None:
    """Add the table, its counter and the triggers."""
    op.create_table(
        "feed",
        sa.Column("sequence", Number, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("at", Number, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_feed")),
        sqlite_strict=True,
    )
    op.bulk_insert(
        sa.table("meta", sa.column("key", sa.Text), sa.column("value", sa.BigInteger)),
        [{"key": "feed_sequence", "value": 0}],
    )
    for number, trigger in enumerate(TRIGGERS):
        for statement in _statements(number, trigger, op.get_bind().dialect.name):
            op.execute(statement)


# The counter's row is locked until the transaction ends, so that rows become visible in the order of their numbers and
# a reader that has seen one has seen all before it. The mark tells a row from another one of the same number, which a
# restored backup would make.


_SQLITE = """
CREATE TRIGGER {name} AFTER {event} ON {table} WHEN {condition} BEGIN
  UPDATE meta SET value = value + 1 WHERE key = 'feed_sequence';
  INSERT INTO feed (sequence, mark, kind, subject, audience)
  SELECT value, lower(hex(randomblob(8))), '{kind}', {subject}, {audience} FROM meta WHERE key = 'feed_sequence';
END
"""
_FUNCTION = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE number bigint; BEGIN
  UPDATE meta SET value = value + 1 WHERE key = 'feed_sequence' RETURNING value INTO number;
  INSERT INTO feed (sequence, mark, kind, subject, audience)
  VALUES (number, substr(replace(gen_random_uuid()::text, '-', ''), 1, 16), '{kind}', {subject}, {audience});
  RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {name}()
"""


def _statements(number: int, trigger: tuple[str, str, tuple[str, ...], str, str, str, str], dialect: str) -> list[str]:
    table, event, columns, condition, kind, subject, audience = trigger
    values = {
        "name": f"feed_{number:02}_{table}",
        "table": table,
        "event": f"{event} OF {', '.join(columns)}" if columns else event,
        "condition": condition.format(differs="IS NOT" if dialect == "sqlite" else "IS DISTINCT FROM"),
        "kind": kind,
        "subject": subject,
        "audience": audience,
    }
    return [text.format(**values) for text in ((_SQLITE,) if dialect == "sqlite" else (_FUNCTION, _TRIGGER))]
