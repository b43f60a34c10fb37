"""Telling the story: plain lines that read the same in a log, colours only for a person at a terminal.

Nothing that looks like a token leaves here, whoever printed it.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

WIDTH: Final = 110
SHOWN_TOKEN_CHARS: Final = 10  # of a token: its prefix and the constant start of every JWS header
# A compact JWS with or without a prefix, and everything after `bearer`.
_TOKEN: Final = re.compile(r"(?:[a-z]+_)*eyJ[\w-]{6,}(?:\.[\w-]*)*|(?<=[Bb]earer )[\w.~+/-]{8,}")
_BOLD, _DIM, _GREEN, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


def without_tokens(text: str) -> str:
    """Cut every token in a text to its first characters."""
    return _TOKEN.sub(lambda match: f"{match[0][:SHOWN_TOKEN_CHARS]}…", text)


class Narrator:
    """Print the demo's story.

    Args:
        stream: Where to; `None` says nothing at all (`--json`).
        colour: Use terminal colours.
    """

    def __init__(self, stream: TextIO | None, *, colour: bool) -> None:
        self._stream: Final = stream
        self._colour: Final = colour
        self._headings = 0

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self._headings += 1
        self._write("")
        self._write(self._paint(_BOLD, f"{self._headings}. {text}"))

    def say(self, text: str) -> None:
        """Explain something, wrapped."""
        for line in textwrap.wrap(without_tokens(text), WIDTH - 3):
            self._write(f"   {line}")

    def gap(self) -> None:
        """Leave a line empty."""
        self._write("")

    def line(self, text: str) -> None:
        """Print a line as it is."""
        self._write(f"   {without_tokens(text)}")

    def row(self, name: str, text: str) -> None:
        """Print a named fact."""
        for part in textwrap.wrap(without_tokens(text), WIDTH - 11, break_on_hyphens=False):
            self._write(f"   {name:<11}{part}")
            name = ""

    def command(self, environment: Mapping[str, str], arguments: Sequence[str]) -> None:
        """Show a child process as one would type it, with the variables that matter."""
        variables = "".join(f"{name}={shlex.quote(value)} " for name, value in environment.items())
        self._write("")
        self._write(f"   {self._paint(_BOLD, without_tokens(f'$ {variables}{shlex.join(arguments)}'))}")

    def quote(self, output: str, *, lines: int = 12) -> None:
        """Show what a child process printed; long output loses its middle."""
        shown = [line.rstrip() for line in output.splitlines() if line.strip()]
        if len(shown) > lines:
            shown = [*shown[: lines // 2], f"… {len(shown) - lines} lines …", *shown[-(lines - lines // 2) :]]
        for line in shown:
            indent = " " * (len(line) - len(line.lstrip()))
            wrapped = textwrap.wrap(
                without_tokens(line), WIDTH, subsequent_indent=f"{indent}  ", break_on_hyphens=False
            )
            for part in wrapped:
                self._write(self._paint(_DIM, f"   | {part}"))

    def verdict(self, ok: bool, text: str) -> None:
        """Say whether a step did what it should."""
        mark = self._paint(_GREEN, "ok    ") if ok else self._paint(_RED, "WRONG ")
        self._write(f"   {mark} {without_tokens(text)}")

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._colour else text

    def _write(self, line: str) -> None:
        if self._stream is not None:
            print(line, file=self._stream, flush=True)
