"""Counting how often issuers' documents are asked for, and how often that fails."""

from __future__ import annotations

from typing import Any

from keyless.http.guarded import Fetched
from keyless.oidc.discovery import Fetcher
from keyless.server.metrics import Counter


class CountingFetcher:
    """Fetch with another fetcher and count what comes of it."""

    def __init__(self, fetcher: Fetcher, counter: Counter) -> None:
        self._fetcher = fetcher
        self._counter = counter

    def fetch(self, url: str, **how: Any) -> Fetched:
        """Fetch one document."""
        try:
            fetched = self._fetcher.fetch(url, **how)
        except BaseException:
            self._counter.add("failed")
            raise
        self._counter.add("ok")
        return fetched
