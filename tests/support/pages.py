"""The code blocks of our pages, with what their fences say about how they are checked."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<text>.*?)^ *(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Command:
    """One command of a console block, and what the page shows of its output."""

    text: str
    output: str


@dataclass(frozen=True)
class Block:
    """One block: its place, its language, and the options of its fence (`NAME=VALUE` after the language)."""

    page: Path
    line: int
    language: str
    options: dict[str, str]
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for a message."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[Command]:
        """Return the commands of a console block: lines after `$ `, continued after a backslash."""
        found: list[tuple[list[str], list[str]]] = []
        continued = False
        for line in self.text.splitlines():
            if line.startswith("$ ") and not continued:
                found.append(([line[2:]], []))
            elif continued:
                found[-1][0].append(line.strip())
            else:
                assert found, f"{self.place}: a console block begins with a command"
                found[-1][1].append(line)
            continued = line.endswith("\\") and (continued or line.startswith("$ "))
        return [Command("\n".join(words), "\n".join(output).strip()) for words, output in found]


def name_of(page: Path) -> str:
    """Return a page's name, for test ids."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        language, _, rest = found["info"].strip().partition(" ")
        options = dict(word.partition("=")[::2] for word in shlex.split(rest))
        body = textwrap.dedent(found["text"]) if found["indent"] else found["text"]
        yield Block(page, text.count("\n", 0, found.start()) + 1, language, options, body)
