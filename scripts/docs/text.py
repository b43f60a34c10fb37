"""Markdown that the generated pages share."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table; none where it has no row."""
    lines = [f"| {' | '.join(cell(part) for part in row)} |" for row in rows]
    names = list(head)
    return [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}", *lines, ""] if lines else []


def made_by(module: str, source: str) -> list[str]:
    """Return the comment that says where a page comes from."""
    return [
        f"<!-- Written by scripts/docs/{module}.py from {source}. Do not edit: change the source, then run",
        "     .venv/bin/python -m scripts.docs -->",
        "",
    ]


def sentence(text: str | None) -> str:
    """Return the first paragraph of a docstring on one line, without the ids of what it guards against."""
    words = " ".join((text or "").strip().split("\n\n")[0].split())
    return re.sub(r" \([A-Z]\d+\)|promise [A-Z]\d+: ", "", words)


def prose(text: str) -> list[str]:
    """Return a paragraph as the lines of a page, and an empty one; a link is never broken."""
    return [*textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False), ""]
