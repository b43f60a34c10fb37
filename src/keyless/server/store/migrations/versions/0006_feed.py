"""What resource servers ask for: the revocation feed.

Revision: 0006
"""

from __future__ import annotations

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Change nothing yet."""
