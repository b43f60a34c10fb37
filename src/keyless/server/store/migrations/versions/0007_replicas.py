"""What many replicas and much data need: indexes, partitions, shared cool-downs.

Revision: 0007
"""

from __future__ import annotations

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Change nothing yet."""
