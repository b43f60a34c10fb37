"""The files that pages load: our sheet, and htmx as its authors ship it. Their hash is in their URL."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, whole in memory.

    `integrity` is what a page demands of it (Subresource Integrity); `path` changes with the content, so a browser may
    keep it for ever.
    """

    name: str
    media_type: str
    body: bytes

    @property
    def integrity(self) -> str:
        """Return the hash as a tag writes it."""
        return f"sha384-{base64.b64encode(hashlib.sha384(self.body).digest()).decode('ascii')}"

    @property
    def path(self) -> str:
        """Return the path below the pages' root."""
        return f"/static/{hashlib.sha256(self.body).hexdigest()[:16]}/{self.name}"


def _load(name: str, media_type: str) -> Asset:
    body = resources.files("keyless.server.ui").joinpath("static").joinpath(name).read_bytes()
    return Asset(name.rpartition("/")[2], media_type, body)


STYLE: Final = _load("keyless.css", "text/css; charset=utf-8")
HTMX: Final = _load("vendor/htmx-4.0.1/htmx.min.js", "text/javascript; charset=utf-8")
ICON: Final = _load("icon.svg", "image/svg+xml")
ASSETS: Final = {asset.path: asset for asset in (STYLE, HTMX, ICON)}
