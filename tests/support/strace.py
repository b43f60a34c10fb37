"""Read what strace wrote: each system call with the lines on which it began and ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """One system call. `text` is its name, arguments and result; `began` and `ended` are line numbers."""

    text: str
    began: int
    ended: int

    @property
    def name(self) -> str:
        """The system call's name."""
        return self.text.partition("(")[0]

    @property
    def succeeded(self) -> bool:
        """Tell whether the call returned zero."""
        return self.text.endswith("= 0")


def read_calls(trace: Path) -> list[Call]:
    """Read a trace of `strace -f`. A call that stands on two lines there, because another came between, is one here."""
    calls = []
    unfinished: dict[str, tuple[str, int]] = {}
    with trace.open(encoding="latin-1") as lines:
        for number, line in enumerate(lines):
            pid, _, text = line.rstrip("\n").partition(" ")
            text = text.strip()
            if text.endswith("<unfinished ...>"):
                unfinished[pid] = text.removesuffix("<unfinished ...>"), number
            elif text.startswith("<... "):
                begun, began = unfinished.pop(pid, ("", number))
                calls.append(Call(begun + text.partition("resumed>")[2], began, number))
            else:
                calls.append(Call(text, number, number))
    return calls
