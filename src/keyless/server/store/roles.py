"""What the service's own role may do on PostgreSQL: all that it needs, and nothing to the audit but adding (D15)."""

from __future__ import annotations

import re
from typing import Final

from keyless.errors import ConfigurationError

APPEND_ONLY: Final = frozenset({"audit_event", "checkpoint"})
"""Tables whose rows the service adds and reads, and never changes."""
_ROLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def grants_for(role: str) -> list[str]:
    """Return the statements that let a role serve, and no more; run them as the owner, again after each upgrade.

    Args:
        role: Lower-case letters, digits and underscores.

    Raises:
        ConfigurationError: The name is something else.
    """
    if not _ROLE.fullmatch(role):
        raise ConfigurationError(f"role {role!r} has other than lower-case letters, digits and underscores")
    from keyless.server.store.tables import metadata  # noqa: PLC0415 - SQLAlchemy is loaded for this work only

    statements = [
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        f"GRANT SELECT ON alembic_version TO {role}",
    ]
    for table in sorted(metadata.tables):
        rights = "SELECT, INSERT" if table in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
        statements.append(f"GRANT {rights} ON {table} TO {role}")
    return statements
