"""Sealed audit checkpoints and retention.

Revision: 0004
"""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Change nothing yet."""
