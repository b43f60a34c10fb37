"""Tell which files of an upload its `.gitignore` leaves out (git, "gitignore" manual page). Pure.

The client sends the text and asks the hub. A hub that ignored it would publish what the author meant to keep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_PATTERNS: Final = 1000
MAX_PATTERN_CHARS: Final = 200  # keeps the time of one match bounded, whatever the pattern
MAX_WILDCARDS: Final = 8


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    keeps: bool
    folders_only: bool


class GitIgnore:
    """Decide by the rules of one root `.gitignore`; the last rule that fits wins.

    Rules beyond the first thousand, longer than 200 characters or with more than eight wildcards are passed over.
    """

    def __init__(self, text: str) -> None:
        rules = (_parse(line) for line in text.splitlines()[:MAX_PATTERNS])
        self._rules: Final = tuple(rule for rule in rules if rule is not None)

    def ignores(self, path: str) -> bool:
        """Tell whether a file is left out; nothing below an ignored folder can be taken back in."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            if self._decides("/".join(parts[:depth]), is_folder=depth < len(parts)):
                return True
        return False

    def _decides(self, path: str, *, is_folder: bool) -> bool:
        ignored = False
        for rule in self._rules:
            if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(path):
                ignored = not rule.keeps
        return ignored


def _parse(line: str) -> _Rule | None:
    pattern = re.sub(r"(?<!\\) +$", "", line)
    if not pattern or pattern.startswith("#") or len(pattern) > MAX_PATTERN_CHARS:
        return None
    if keeps := pattern.startswith("!"):
        pattern = pattern[1:]
    if folders_only := pattern.endswith("/"):
        pattern = pattern.rstrip("/")
    anchored = "/" in pattern
    pattern = pattern.removeprefix("/")
    if not pattern or pattern.count("*") > MAX_WILDCARDS:
        return None
    try:
        compiled = re.compile(("" if anchored else "(?:.*/)?") + _translate(pattern), re.DOTALL)
    except re.error:
        return None
    return _Rule(compiled, keeps, folders_only)


def _translate(pattern: str) -> str:
    out = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            out.append("(?:.*/)?")
            at += 3
        elif pattern[at:] == "**" and at > 0 and pattern[at - 1] == "/":
            out.append(".+")
            at += 2
        elif char == "*":
            while pattern.startswith("*", at + 1):
                at += 1
            out.append("[^/]*")
            at += 1
        elif char == "?":
            out.append("[^/]")
            at += 1
        elif char == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out.append(f"(?!/)[{'^' + inside[1:] if inside[0] in '!^' else inside}]")
            at = end + 1
        elif char == "\\" and at + 1 < len(pattern):
            out.append(re.escape(pattern[at + 1]))
            at += 2
        else:
            out.append(re.escape(char))
            at += 1
    return "".join(out)
