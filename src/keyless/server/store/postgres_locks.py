"""The advisory locks we take on PostgreSQL: of one database each, so their numbers need no more than to be ours."""

from __future__ import annotations

from typing import Final

TRUST_LOCK: Final = 0x6B65796C01
"""Shared by transactions of exchanges, exclusive to one that changes trust (D16)."""
MIGRATION_LOCK: Final = 0x6B65796C02
"""Held by whoever migrates."""
