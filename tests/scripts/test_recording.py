"""The picture of the terminal: readable light and dark, by a screen reader, without motion; and nothing else in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from scripts import recording
from scripts.recording import COLUMNS, Line, _parts, _rows, svg

SVG = "{http://www.w3.org/2000/svg}"


def test_the_committed_picture_is_accessible_and_loads_nothing() -> None:
    """A title, both colour schemes, no motion for who wants none; no script, no address, no token."""
    text = recording.PICTURE.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    title = root.find(f"{SVG}title")

    assert root.get("role") == "img"
    assert title is not None
    assert title.text == recording.TITLE
    assert root.get("aria-labelledby") == title.get("id")
    assert "prefers-color-scheme: dark" in text
    assert "prefers-reduced-motion: reduce" in text
    known = {f"{SVG}{name}" for name in ("svg", "title", "style", "rect", "text", "tspan")}
    assert {element.tag for element in root.iter()} == known
    assert not re.search(r"url\(|@import|href|eyJ", text)


def test_the_committed_picture_shows_a_refusal_its_fix_and_a_publish() -> None:
    """With the colours that a terminal showed."""
    text = recording.PICTURE.read_text(encoding="utf-8")

    assert '<tspan class="b">keyless doctor</tspan>' in text
    assert '<tspan class="r">!!</tspan>' in text
    assert '<tspan class="g">ok</tspan>' in text
    assert "hf upload acme/awesome-model" in text
    assert "/commit/" in text


def test_colours_become_classes_and_other_sequences_vanish() -> None:
    """SGR only; what moves a cursor is not drawn."""
    assert _parts("a\x1b[31mred\x1b[0m\x1b[2K b") == (("", "a"), ("r", "red"), ("", " b"))


def test_a_long_line_is_broken_where_the_terminal_breaks_it() -> None:
    """With its colours, and by columns rather than letters."""
    rows = list(_rows((("r", "x" * (COLUMNS - 1)), ("", "日本"))))

    assert rows == [(("r", "x" * (COLUMNS - 1)), ("", "")), (("", "日本"),)]


def test_what_is_printed_is_escaped() -> None:
    """An angle bracket in an answer is a letter."""
    drawn = ET.fromstring(svg([Line(0.0, (("", "<script>&"),))]))

    assert [text.text for text in drawn.iter(f"{SVG}tspan")] == ["<script>&"]
