"""Write every page that is made from the source, or with `--check` say which are not what it says.

.venv/bin/python -m scripts.docs [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from scripts import issuers_doc, providers_doc
from scripts.docs import api, ci, cli, errors, settings

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
FOLDERS: Final = (ci.FOLDER, "reference")
"""Where nothing is written by hand."""


def pages() -> dict[str, str]:
    """Return every page made from the source, by its place in docs/."""
    return {
        "providers.md": providers_doc.page(),
        "issuers.md": issuers_doc.page(),
        "reference/cli.md": cli.page(),
        "reference/http-api.md": api.page(),
        "reference/settings.md": settings.page(),
        "reference/reasons.md": errors.page(),
        **ci.pages(),
    }


def outdated(wanted: dict[str, str]) -> list[str]:
    """Return the places where docs/ has another page than wanted, or one that is not wanted."""
    there = {path.relative_to(DOCS).as_posix() for folder in FOLDERS for path in (DOCS / folder).glob("*.md")}
    differing = [
        name
        for name, text in wanted.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != text
    ]
    return sorted({*differing, *(there - wanted.keys())})


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.docs", description="Write the pages made from the source.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is not up to date")
    check = parser.parse_args().check
    wanted = pages()
    names = outdated(wanted)
    if check:
        if names:
            print(f"not what the source says: docs/{', docs/'.join(names)}; run python -m scripts.docs")
        return 1 if names else 0
    for name in names:
        path = DOCS / name
        if name not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[name], encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
