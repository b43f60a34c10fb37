"""What a terminal shows: width, colours, and no character that would act on it."""

from __future__ import annotations

import io
import os
import pty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.cli import terminal

# One per kind: escape sequences (CSI, OSC 8 and 52, DCS, their 8-bit forms), controls that move, erase or ring, line
# forgers, and characters that reorder or hide text.
HOSTILE = [
    "\x1b[2J\x1b[H", "\x1b]8;;https://evil.example\x1b\\text\x1b]8;;\x1b\\", "\x1b]52;c;ZXZpbA==\x07",
    "\x1bP+q544e\x1b\\", "\x9b31m", "\x9d0;title\x9c", "\r", "\n", "\x08\x08", "\x07", "\x00", "\x7f", "\x0b", "\x0c",
    "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\U000e0041", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_nothing_acts_on_the_terminal(text: str) -> None:
    """T18: a claim is what its author likes; on the terminal of who reads it, it is letters."""
    shown = terminal.visible(f"main{text}end")

    assert shown.isprintable()
    assert shown.startswith("main")
    assert shown.endswith("end")
    assert "\\" in shown


@given(st.text())
def test_what_is_shown_is_always_printable(text: str) -> None:
    """Of any text at all, in a line or in several."""
    assert terminal.visible(text).isprintable()
    assert all(line.isprintable() for line in terminal.visible_lines(text).split("\n"))


@pytest.mark.parametrize("text", ["naïve", "日本語", "e\u0301", "🔑", "עברית", "a b"])
def test_other_peoples_letters_stay(text: str) -> None:
    """A name in any script is shown as it is."""
    assert terminal.visible(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 1),
        ("e\u0301", 1),
        ("日本", 4),
        ("ｶﾅ", 2),
        ("\uff21", 2),
        ("🔑", 2),
        ("한글", 4),
        ("±", 1),
    ],
)
def test_how_many_columns_a_text_takes(text: str, expected: int) -> None:
    """Unicode Standard Annex 11, and no column for a combining mark."""
    assert terminal.width(text) == expected


def test_columns_line_up_whatever_is_in_them() -> None:
    """Wide letters, combining marks, emoji and neutralised escapes."""
    rows = [["日本語", "x"], ["e\u0301", "x"], ["🔑🔑", "x"], ["\x1b[2J", "x"], ["plain", "x"]]
    lines = terminal.table(["NAME", "LAST"], rows)
    starts = {terminal.width(line[: line.rindex("x")]) for line in lines[1:]}

    assert starts == {terminal.width(lines[0][: lines[0].index("LAST")])}


def test_a_row_is_one_line_in_a_file() -> None:
    """What reads it is `grep`."""
    assert len(terminal.table(["A", "B"], [["x" * 300, "y y"]])) == 2


ROW = ["pub_0123456789", "acme/model", "repository=acme/train, branch=main, workflow=release.yml", "日本語" * 4]


@pytest.mark.parametrize("most", [40, 60, 80, 100])
def test_a_table_fits_the_terminal(most: int) -> None:
    """Broken between words, else a paragraph for each row; nothing is lost, and no id is broken."""
    lines = terminal.table(["ID", "RESOURCE", "JOB", "NOTE"], [ROW, ROW], most=most)
    text = "\n".join(lines)

    assert max(map(terminal.width, lines)) <= most
    assert [text.count(whole) for whole in ("pub_0123456789", "acme/model", "branch=main,", ROW[3])] == [2, 2, 2, 2]


def test_a_row_is_a_paragraph_where_there_is_no_room() -> None:
    """With the names of the columns before it."""
    rows = [["pub_0123456789" * 3, "x", "y"], ["pub_2", "", "z"]]
    lines = terminal.table(["ID", "JOB", "N"], rows, most=48)

    assert lines == ["ID   " + "pub_0123456789" * 3, "JOB  x", "N    y", "", "ID   pub_2", "JOB", "N    z"]


@given(st.text(), st.integers(min_value=2, max_value=30))
def test_wrapping_loses_nothing_but_spaces(text: str, most: int) -> None:
    """And no line is too long: a letter of two columns fits into two."""
    shown = terminal.visible(text)
    lines = terminal.wrap(shown, most)

    assert "".join(lines).replace(" ", "") == shown.replace(" ", "")
    assert all(terminal.width(line) <= most for line in lines)


def test_a_help_page_in_a_narrow_terminal() -> None:
    """Text goes on where it began; a page in a file stays as it is."""
    text = "usage: keyless x\n\n  --resource R       what the token is for, with a long explanation that goes on\n"
    shown = terminal.page(text, 50).splitlines()

    assert terminal.page(text, None) == text
    assert shown[2] == "  --resource R       what the token is for, with a"
    assert shown[3] == "                     long explanation that goes on"


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("is_terminal", "environ", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": ""}, False),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (True, {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
    ],
)
def test_colours_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, environ: dict[str, str], coloured: bool
) -> None:
    """no-color.org and force-color.org; a dumb terminal has none."""
    for name, value in {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm", **environ}.items():
        monkeypatch.setenv(name, value)

    assert terminal.has_colour(Stream(terminal=is_terminal)) is coloured


def test_a_stream_that_is_not_there_wants_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pythonw there is no stderr; after a daemon closed it, it cannot even be asked."""
    closed = io.StringIO()
    closed.close()
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    assert not terminal.has_colour(None)
    assert not terminal.has_colour(closed)
    assert terminal.columns(closed) is None


@pytest.mark.parametrize(
    ("given_columns", "expected"), [("100", 100), ("5", terminal.NARROWEST), ("x", 80), ("0", 80), ("", 80)]
)
def test_columns_wins(monkeypatch: pytest.MonkeyPatch, given_columns: str, expected: int) -> None:
    """As everywhere; what is no number is not there. The lines of a file are never broken."""
    monkeypatch.setenv("COLUMNS", given_columns)

    assert terminal.columns(Stream(terminal=True)) == expected
    assert terminal.columns(Stream(terminal=False)) is None


def test_the_size_of_a_real_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the terminal itself."""
    import fcntl
    import struct
    import termios

    monkeypatch.delenv("COLUMNS", raising=False)
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 93, 0, 0))
    with os.fdopen(inside, "w") as stream:
        found = terminal.columns(stream)
    os.close(outside)

    assert found == 93
