"""What the operator says about an issuer's keys.

Revision: 0002
"""

from __future__ import annotations

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change nothing yet."""
