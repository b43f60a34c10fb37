"""Medians, spreads and ratios, and how they are printed. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some measurements, with the least and the greatest of them."""

    median: float
    least: float
    greatest: float
    count: int

    def text(self, digits: int = 1) -> str:
        """Return `median (least-greatest)`; thousands are grouped."""
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}-{self.greatest:,.{digits}f})"

    def as_json(self) -> dict[str, float]:
        return {"median": self.median, "min": self.least, "max": self.greatest, "count": self.count}


def spread(values: Iterable[float]) -> Spread:
    """Summarise at least one measurement."""
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found), len(found))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Divide pair by pair: each of our measurements by the one that was taken beside it.

    Pairs, not medians of each side: a machine whose speed drifts during the run moves both halves of a pair alike.
    """
    return spread(our / their for our, their in zip(ours, theirs, strict=True))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns in plain text: the first flush left, the others flush right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join((first, *rest)).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)])
