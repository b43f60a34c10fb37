"""Sign-in sessions of the web pages.

Revision: 0010
"""

from __future__ import annotations

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Change nothing yet."""
