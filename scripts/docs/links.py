"""Find dead links: in the pages as the repository shows them, and in the built site (`make docs`).

    python -m scripts.docs.links [build/site]

Inside, a link has to lead to a file, and to a heading of it where it names one. What leads outside is checked for its
form only, for nothing outside is asked: `--external` lists it. The site may load nothing from elsewhere.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
FENCE: Final = re.compile(r"^ *```.*?^ *```[ \t]*$", re.MULTILINE | re.DOTALL)
HEADING: Final = re.compile(r"^#{1,6} (.+?)[ \t]*$", re.MULTILINE)
LINK: Final = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
HOST: Final = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}")
LOADING: Final = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def pages(root: Path = ROOT) -> list[Path]:
    """Return every page that people read in the repository."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/**/*.md")])


def dead_in_pages(root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with the links of the Markdown pages, a sentence each."""
    for page in pages(root):
        name = page.relative_to(root)
        for link in links_of(page.read_text(encoding="utf-8")):
            place = urlsplit(link)
            if place.scheme or place.netloc:
                if problem := malformed(link):
                    yield f"{name}: {link}: {problem}"
                continue
            target = (page.parent / unquote(place.path)).resolve() if place.path else page
            if not target.is_relative_to(root.resolve()) or not target.exists():
                yield f"{name}: {link}: there is no such file"
            elif place.fragment and target.suffix == ".md" and place.fragment not in anchors_of(target):
                yield f"{name}: {link}: there is no such heading"


def links_of(text: str) -> list[str]:
    """Return the targets of a page's links and pictures; code holds none."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return [first or second for first, second in LINK.findall(prose)]


def anchors_of(page: Path) -> set[str]:
    """Return the names of a page's headings, as code hosts and MyST make them."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def malformed(link: str) -> str | None:
    """Say what is wrong with the form of a link to elsewhere, if anything is."""
    place = urlsplit(link)
    if place.scheme == "mailto":
        return None if re.fullmatch(r"[^@\s]+@[^@\s]+", place.path) else "no mail address"
    if place.scheme != "https":
        return "not https"
    return None if HOST.fullmatch(place.hostname or "") and not place.username else "no public host name"


class _Page(HTMLParser):
    """One page of the site: where it can be entered, where it leads, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.leads.append(values["href"])
        if LOADING.get(tag, "") in values:
            self.loads.append(values[LOADING[tag]])


def read_site(site: Path) -> dict[Path, _Page]:
    """Return the pages of a built site by their places."""
    return {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def dead_in_site(site: Path) -> Iterator[str]:
    """Yield what is wrong with the links of a built site, a sentence each."""
    read = read_site(site)
    if not read:
        yield f"{site}: there is no page"
    for path, page in read.items():
        name = path.relative_to(site.resolve())
        for link in page.loads:
            if urlsplit(link).netloc or not (path.parent / unquote(urlsplit(link).path)).exists():
                yield f"{name}: loads {link}, which is not in the site"
        for link in page.leads:
            place = urlsplit(link)
            if place.scheme or place.netloc:
                if problem := malformed(link):
                    yield f"{name}: {link}: {problem}"
                continue
            target = (path.parent / unquote(place.path)).resolve() if place.path else path
            if not target.is_file():
                yield f"{name}: {link}: there is no such file"
            elif place.fragment and target in read and unquote(place.fragment) not in read[target].ids:
                yield f"{name}: {link}: there is no such place"
    for style in sorted(site.rglob("*.css")):
        for link in re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", style.read_text(encoding="utf-8")):
            address = next(part for part in link if part)
            if urlsplit(address).netloc:
                yield f"{style.relative_to(site)}: loads {address}"


def external(root: Path, site: Path | None) -> list[str]:
    """Return every address elsewhere that the pages, or the site's, lead to."""
    found = {link for page in pages(root) for link in links_of(page.read_text(encoding="utf-8"))}
    if site is not None:
        found.update(link for page in read_site(site).values() for link in page.leads)
    return sorted(link for link in found if urlsplit(link).scheme or urlsplit(link).netloc)


def main() -> int:
    """Print what is dead; 1 where anything is."""
    parser = argparse.ArgumentParser(description="Find dead links.")
    parser.add_argument("site", nargs="?", type=Path, help="a built site; without it only the Markdown pages")
    parser.add_argument("--external", action="store_true", help="list the links that lead elsewhere, too")
    arguments = parser.parse_args()
    dead = [*dead_in_pages(), *(dead_in_site(arguments.site) if arguments.site else ())]
    elsewhere = external(ROOT, arguments.site)
    print(*dead, *(elsewhere if arguments.external else ()), sep="\n", end="\n" if dead or arguments.external else "")
    print(f"{len(dead)} dead links; {len(elsewhere)} lead elsewhere (form checked only: --external lists them)")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
