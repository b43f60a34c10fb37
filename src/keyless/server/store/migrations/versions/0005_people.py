"""People who manage trust: principals, roles, logins and idempotent creates.

Revision: 0005
"""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change nothing yet."""
