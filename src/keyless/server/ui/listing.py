"""Lists that are read a page at a time, by key and never by offset. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from keyless.server.ui.visit import Visit

PAGE_ROWS: Final = 50


def next_url(visit: Visit, after: object) -> str:
    """Return the query of the page that follows, with all filters kept."""
    return f"?{urlencode({**visit.query, 'after': str(after)})}"
