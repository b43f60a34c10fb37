"""Tell which files of an upload its `.gitignore` leaves out (git, "gitignore" manual page). Pure.

The client sends the text and asks the hub. A hub that ignored it would publish what the author meant to keep. Text and
paths come from outside, so no pattern may make matching explode: within a segment `fnmatch` compiles to atomic groups,
and across segments `**` is matched greedily from the last one.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_PATTERNS: Final = 500
MAX_PATTERN_CHARS: Final = 100

_Segment = Callable[[str], object] | None  # does it fit? `None` stands for `**`: any number of segments
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class _Rule:
    segments: Sequence[_Segment]
    keeps: bool
    folders_only: bool


class GitIgnore:
    """Decide by the rules of one root `.gitignore`; the last rule that fits wins.

    Rules beyond the first 500, or longer than 100 characters, are passed over.
    """

    def __init__(self, text: str) -> None:
        rules = (_parse(line) for line in text.splitlines()[:MAX_PATTERNS])
        self._rules: Final = tuple(rule for rule in rules if rule is not None)

    def ignores(self, path: str) -> bool:
        """Tell whether a file is left out; nothing below an ignored folder can be taken back in."""
        parts = path.split("/")
        return any(self._decides(parts[:depth], is_folder=depth < len(parts)) for depth in range(1, len(parts) + 1))

    def _decides(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and _fits(rule.segments, parts):
                return not rule.keeps
        return False


def _parse(line: str) -> _Rule | None:
    pattern = re.sub(r"(?<!\\) +$", "", line)
    if not pattern or pattern.startswith("#") or len(pattern) > MAX_PATTERN_CHARS:
        return None
    if keeps := pattern.startswith("!"):
        pattern = pattern[1:]
    if folders_only := pattern.endswith("/"):
        pattern = pattern.rstrip("/")
    anchored = "/" in pattern
    if not (pattern := pattern.removeprefix("/")):
        return None
    segments: list[_Segment] = [] if anchored else [None]
    for segment in pattern.split("/"):
        segments.append(None if segment == "**" else _compile(segment))
    if segments[-1] is None:
        segments.append(bool)  # what follows a last `**` is at least one segment, and any will do
    return _Rule(tuple(segments), keeps, folders_only)


def _compile(segment: str) -> Callable[[str], object]:
    # `fnmatch` has no backslash; a set of one character says the same. Git also negates sets with ^.
    glob = _ESCAPED.sub(lambda escaped: f"[{escaped[1]}]" if escaped[1] in "*?[" else escaped[1], segment)
    glob = glob.replace("[^", "[!")
    if not any(char in glob for char in "*?["):
        return glob.__eq__
    return re.compile(fnmatch.translate(glob)).match


def _fits(segments: Sequence[_Segment], parts: Sequence[str]) -> bool:
    """Match from the left; where it fails, let only the last `**` take one more part. Never more than n x m steps."""
    at = part = 0
    last_star, taken = -1, 0
    while part < len(parts):
        if at < len(segments) and (segment := segments[at]) is None:
            last_star, taken = at, part
            at += 1
        elif at < len(segments) and segment is not None and segment(parts[part]):
            at, part = at + 1, part + 1
        elif last_star >= 0:
            taken += 1
            at, part = last_star + 1, taken
        else:
            return False
    return all(segment is None for segment in segments[at:])
