"""What a terminal shows: colours where they are wanted, how wide it is, and nothing that moves its cursor.

Loaded by what prints for people; a token on stdout passes by here.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, TextIO

NARROWEST: Final = 40  # columns: below that nothing is laid out any more


def has_colour(stream: TextIO | None) -> bool:
    """Tell whether a stream wants colours: a terminal does, unless it is dumb or somebody said otherwise.

    NO_COLOR (no-color.org) wins over FORCE_COLOR (force-color.org); both count when they are not empty.
    """
    if os.environ.get("NO_COLOR") or stream is None:
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return _is_terminal(stream) and os.environ.get("TERM") != "dumb"


def columns(stream: TextIO | None) -> int | None:
    """Return how many columns a terminal has, or `None` for a file or a pipe, whose lines are not to be broken.

    COLUMNS wins over what the terminal says.
    """
    if stream is None or not _is_terminal(stream):
        return None
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdecimal() and int(given) > 0:
        return max(NARROWEST, int(given))
    try:
        return max(NARROWEST, os.get_terminal_size(stream.fileno()).columns or 80)
    except (OSError, ValueError):  # not a real terminal
        return 80


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def visible(text: str) -> str:
    """Return text that moves no cursor, changes no direction and forges no line: such characters as escapes (T18)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def visible_lines(text: str) -> str:
    """Return the same for a text of several lines."""
    return "\n".join(visible(line) for line in text.split("\n"))


def width(text: str) -> int:
    """Return how many columns a text takes: two for East Asian wide letters and emoji, none for combining marks.

    Unicode Standard Annex 11; ambiguous letters are narrow, as terminals have them.
    """
    if text.isascii():
        return len(text)
    import unicodedata

    taken = 0
    for c in text:
        if unicodedata.category(c) not in {"Mn", "Me", "Cf"}:
            taken += 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1
    return taken


def wrap(text: str, most: int) -> list[str]:
    """Return a text in lines of at most so many columns, broken at spaces and commas, and inside a word if need be."""
    lines, line = [], ""
    for word in _words(text):
        rest = word
        if line and width(line) + width(rest.rstrip()) > most:
            lines.append(line.rstrip())
            line = ""
        while width(rest.rstrip()) > most:
            cut = _fitting(rest, most)
            lines.append(rest[:cut])
            rest = rest[cut:]
        line += rest
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _words(text: str) -> list[str]:
    words, start = [], 0
    for i, c in enumerate(text):
        if c in " ,":
            words.append(text[start : i + 1])
            start = i + 1
    return [*words, text[start:]]


def _fitting(text: str, most: int) -> int:
    """Return how many characters fit into so many columns; a letter and its marks stay together."""
    taken = 0
    for i, c in enumerate(text):
        taken += width(c)
        if taken > most:
            return max(1, i)
    return len(text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, most: int | None = None) -> list[str]:
    """Return the lines of a table, each column as wide as it must be.

    Args:
        header: The names of the columns.
        rows: Their cells; control characters are shown as escapes.
        most: Columns of the terminal. Cells are broken between words until the table fits; where it cannot, each row
            is a paragraph. `None` for a file or a pipe, where a row is one line.
    """
    shown = [[visible(cell) for cell in row] for row in rows]
    cells = [list(header), *shown]
    widths = [max(width(row[i]) for row in cells) for i in range(len(header))]
    gaps = 2 * (len(widths) - 1)
    if most is not None and sum(widths) + gaps > most:
        least = [max(width(word.rstrip()) for row in cells for word in _words(row[i])) for i in range(len(header))]
        if sum(least) + gaps > most:
            return _paragraphs(header, shown, most)
        while sum(widths) + gaps > most:
            room = [has - needs for has, needs in zip(widths, least, strict=True)]
            widths[room.index(max(room))] -= 1
    lines = []
    for row in cells:
        parts = [wrap(cell, most) for cell, most in zip(row, widths, strict=True)]
        for i in range(max(map(len, parts))):
            line = [part[i] if i < len(part) else "" for part in parts]
            lines.append("  ".join(_padded(cell, most) for cell, most in zip(line, widths, strict=True)).rstrip())
    return lines


def _paragraphs(header: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> list[str]:
    """Return a line for each cell, with a gap between rows."""
    names = max(map(width, header)) + 2
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for name, cell in zip(header, row, strict=True):
            first, *others = wrap(cell, max(most - names, NARROWEST // 2))
            lines += [f"{_padded(name, names)}{first}".rstrip(), *(" " * names + other for other in others)]
    return lines


def _padded(text: str, most: int) -> str:
    return text + " " * (most - width(text))


def page(text: str, most: int | None) -> str:
    """Return a help page for a terminal of so many columns: longer lines go on below where their text began."""
    if most is None:
        return text
    lines = []
    for line in text.split("\n"):
        if width(line) <= most:
            lines.append(line)
            continue
        indent = _text_column(line)
        first, *others = wrap(line[indent:], max(most - indent, NARROWEST // 2))
        lines += [line[:indent] + first, *(" " * indent + other for other in others)]
    return "\n".join(lines)


def _text_column(line: str) -> int:
    """Return where the text of a line begins: behind an option and its gap, else behind the indentation."""
    indent = len(line) - len(line.lstrip())
    gap = line.find("  ", indent)
    if 0 < gap < 30:
        return gap + len(line[gap:]) - len(line[gap:].lstrip())
    return indent
