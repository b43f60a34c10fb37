"""Pictures as numbers: where each bar of a chart stands. The template draws them as SVG, without a script. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 160
GAP: Final = 4


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one kind, one for each bar."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a stacked bar, in the chart's own units."""

    series: str
    x: float
    y: float
    width: float
    height: float
    value: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A stacked bar chart. `summary` says in words what a picture cannot tell everybody."""

    width: int
    height: int
    top: int
    bars: tuple[Bar, ...]
    summary: str


def bars(series: Sequence[Series], *, label: str) -> Chart:
    """Stack the values of each place; the highest stack fills the height."""
    count = max((len(item.values) for item in series), default=0)
    stacks = [sum(item.values[i] for item in series) for i in range(count)]
    top = max(stacks, default=0)
    step = WIDTH / max(count, 1)
    made: list[Bar] = []
    for i in range(count):
        floor = float(HEIGHT)
        for item in series:
            value = item.values[i]
            height = HEIGHT * value / top if top else 0.0
            floor -= height
            if value:
                made.append(
                    Bar(item.name, round(i * step, 1), round(floor, 1), round(step - GAP, 1), round(height, 1), value)
                )
    totals = ", ".join(f"{sum(item.values)} {item.name}" for item in series)
    return Chart(WIDTH, HEIGHT, top, tuple(made), f"{label}: {totals}; at most {top} together")
