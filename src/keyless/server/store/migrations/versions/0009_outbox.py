"""Webhooks that are still to be delivered.

Revision: 0009
"""

from __future__ import annotations

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Change nothing yet."""
