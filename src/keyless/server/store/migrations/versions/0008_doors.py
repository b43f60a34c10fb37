"""Package registries: their kind, tokens for several packages, and publishers by what they name.

Revision: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add what the doors of package registries need."""
    op.add_column("resource_server", sa.Column("kind", sa.Text(), nullable=False, server_default="hub"))
    op.create_index(op.f("ix_condition_claim_value"), "condition", ["claim", "value"], unique=False)
    op.create_index(op.f("ix_pin_claim_value"), "pin", ["claim", "value"], unique=False)
    op.create_table(
        "token_resource",
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("publisher_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["jti"], ["token.jti"], name=op.f("fk_token_resource_jti"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("jti", "resource", name=op.f("pk_token_resource")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
