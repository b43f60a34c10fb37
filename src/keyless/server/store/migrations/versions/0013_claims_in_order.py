"""Claims on id tokens in the order of their arrival, on SQLite.

As a table without rowid it was one tree in the order of the replay keys, which are random, and so was each second of
its index of expiry: two pages written per claim. With a rowid only the unique index is. PostgreSQL's is a heap anyway.

Revision: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

_STEPS = (
    "DROP INDEX ix_replay_use_expires_at",
    "ALTER TABLE replay_use RENAME TO replay_use_before",
    """
CREATE TABLE replay_use (
    issuer_id INTEGER NOT NULL,
    replay_key BLOB NOT NULL,
    n INTEGER NOT NULL,
    jti TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CONSTRAINT pk_replay_use PRIMARY KEY (issuer_id, replay_key, n),
    CONSTRAINT ck_replay_use_n CHECK (n >= 1)
) STRICT
""",
    """
INSERT INTO replay_use (issuer_id, replay_key, n, jti, used_at, expires_at)
SELECT issuer_id, replay_key, n, jti, used_at, expires_at FROM replay_use_before ORDER BY used_at
""",
    "DROP TABLE replay_use_before",
    "CREATE INDEX ix_replay_use_expires_at ON replay_use (expires_at)",
)


def upgrade() -> None:
    """Copy the claims that are left into a table with a rowid."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for step in _STEPS:
        op.execute(step)
