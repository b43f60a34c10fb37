"""The life of publishers: pending resources, caps, alarms and locks.

Revision: 0003
"""

from __future__ import annotations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Change nothing yet."""
