"""Steps of the story and what became of them. Pure: values only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that should happen or should be refused, and whether it was so."""

    name: str
    expected: str
    ok: bool
    found: str
    seconds: float


@dataclass(slots=True)
class Summary:
    """What the demo found; `ok` only when every step did what it should."""

    steps: list[Step] = field(default_factory=list)
    events: int = 0
    seconds: float = 0.0
    folder: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether every step did what it should; a demo without steps proved nothing."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the summary for a program."""
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "steps": [asdict(step) for step in self.steps],
            "audit_events": self.events,
            "folder": self.folder,
        }
