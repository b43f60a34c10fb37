"""From values to HTML: one environment of templates, with everything escaped and nothing undefined."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

import jinja2

from keyless import __version__
from keyless.http.redact import clean_text
from keyless.server.ui.assets import HTMX, ICON, STYLE

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere, no frame around us."""


class Renderer:
    """Render templates for one place of the pages.

    Args:
        root: Path that the pages begin with, for example `/ui`.
        provider: What the identity provider is called, or `None`.
    """

    def __init__(self, root: str, *, provider: str | None) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("keyless.server.ui"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            root=root, provider=provider, htmx=HTMX, style=STYLE, icon=ICON, version=__version__
        )
        self._environment.filters.update(
            moment=moment, ago=ago, segment=segment, safe_url=safe_url, shown=shown, capitalize_first=capitalize_first
        )

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """Return the HTML of a template."""
        return self._environment.get_template(template).render(values)


def moment(unix_seconds: int | None) -> str:
    """Return a time for people, UTC to the second."""
    if unix_seconds is None:
        return "never"
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(unix_seconds: int | None, now: int) -> str:
    """Return how far away a time is, in the largest unit that fits."""
    if unix_seconds is None:
        return "never"
    distance = now - unix_seconds
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if abs(distance) >= seconds:
            count = abs(distance) // seconds
            words = f"{count} {unit}{'s' if count != 1 else ''}"
            return f"{words} ago" if distance > 0 else f"in {words}"
    return "now"


def segment(text: object) -> str:
    """Return text as one segment of a path of ours."""
    return quote(str(text), safe="")


def shown(text: object) -> str:
    """Return a claim's text without what steers a terminal or turns the direction of a line (T18)."""
    return clean_text(str(text))


def capitalize_first(text: str) -> str:
    """Return text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def safe_url(url: object) -> str | None:
    """Return a URL that a page may link to: http or https and nothing else; `None` for any other text."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"https", "http"} and parts.hostname else None
