"""How the site is made of these pages (`make docs`): MyST reads them, furo is their look, PAGES is their order.

The same pages are read in the repository, so they hold no directive; what a reader finds next to what stands here.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE: Final = Path(__file__).parent
PAGES: Final[dict[str, list[str]]] = {
    "Start": ["tutorial", "quickstart", "migrate"],
    "Publish from CI": ["how-to/ci/index", "setup", "github", "gitlab", "exec", "git", "doctor", "testing"],
    "Run the service": [
        "service",
        "publishers",
        "explain",
        "pages",
        "sign-in",
        "people",
        "policy",
        "issuer-keys",
        "secure",
        "database",
        "audit",
        "operations",
        "upgrading",
    ],
    "Accept the tokens": ["verifier", "forward-auth", "how-to/pypi", "how-to/npm", "how-to/oci"],
    "Look it up": [
        "reference/cli",
        "settings",
        "reference/settings",
        "api",
        "reference/http-api",
        "providers",
        "issuers",
        "errors",
        "reference/reasons",
    ],
    "Understand it": [
        "why",
        "trust-model",
        "threat-model",
        "comparison",
        "scale",
        "versioning",
        "releasing",
        "glossary",
        "decisions/index",
    ],
}
"""The captions of the side bar, each with its pages. A page that is named nowhere comes last under `Look it up`."""
CHAPTERS: Final = ("how-to/ci", "decisions")
"""Folders whose pages stand below their own first one."""

project = "keyless"
author = "The keyless authors"
version = release = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
nitpicky = True
myst_heading_anchors = 4  # a link to a heading is checked, and so is one to a page
html_theme = "furo"
html_title = f"keyless {version}"
html_show_sphinx = html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
pygments_style, pygments_dark_style = "default", "github-dark"


def contents() -> dict[str, str]:
    """Return the tables of contents that Sphinx wants to find in pages, by page."""
    there = {path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.rglob("*.md")}
    below = {
        f"{folder}/index": sorted(name for name in there if name.startswith(f"{folder}/") and name != f"{folder}/index")
        for folder in CHAPTERS
    }
    named = {"index", *(name for names in (*PAGES.values(), *below.values()) for name in names)}
    first = [
        table([*names, *(sorted(there - named) if caption == "Look it up" else ())], caption)
        for caption, names in PAGES.items()
    ]
    return {"index": "".join(first), **{name: table(names) for name, names in below.items()}}


def table(names: list[str], caption: str | None = None) -> str:
    """Return one table that the side bar shows and the page does not."""
    head = f":hidden:\n:caption: {caption}" if caption else ":hidden:"
    return "\n```{{toctree}}\n{}\n\n{}\n```\n".format(head, "\n".join(f"/{name}" for name in names))


def reach(context: dict[str, Any]) -> None:
    """Let the keyboard scroll what is wider than a page, and give the side bar's headings their level."""
    for name, old, new in (
        ("body", "<pre>", '<pre tabindex="0">'),
        ("body", '<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
        ("furo_navigation_tree", 'role="heading"', 'role="heading" aria-level="2"'),
    ):
        if context.get(name):
            context[name] = context[name].replace(old, new)


def setup(app: Sphinx) -> None:
    """Add the tables to their pages as these are read."""
    tables = contents()

    def add(_app: Sphinx, name: str, source: list[str]) -> None:
        source[0] += tables.get(name, "")

    app.connect("source-read", add)
    app.connect("html-page-context", lambda _app, _page, _template, context, _tree: reach(context), priority=900)
