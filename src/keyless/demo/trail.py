"""The service's audit trail, read by a newcomer: what it decided, for whom, and why. Pure but for what it is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

GRANTED: Final = "token.granted"
REFUSED: Final = "exchange.refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """One event of the trail. `details` say which claims differ; `data` is what else the service kept."""

    at: int
    kind: str
    resource: str
    publisher: str
    subject: str
    reason: str
    details: tuple[str, ...]
    data: Mapping[str, Any]

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Decision:
        """Read an event as `keyless audit list --json` prints it."""
        data = event.get("data") or {}
        return cls(
            at=int(event["at"]),
            kind=str(event["kind"]),
            resource=str(event.get("resource") or ""),
            publisher=str(event.get("publisher_id") or ""),
            subject=str(event.get("ci_subject") or event.get("actor") or ""),
            reason=str(event.get("reason") or ""),
            details=tuple(str(detail) for detail in data.get("details", ())),
            data=data,
        )

    def sentences(self) -> list[str]:
        """Say what was decided, in one or two lines."""
        if self.kind == GRANTED:
            minutes = (int(self.data.get("expires_at", self.at)) - self.at) // 60
            scope = str(self.data.get("scope", "")).replace(" ", ", ")
            return [f"granted: {scope} on {self.resource} for {minutes} minutes, by {self.publisher}"]
        if self.kind == REFUSED:
            return [f"refused: {self.reason}, {self.resource}", *(f"because {detail}" for detail in self.details)]
        return [f"{self.kind} {self.resource}"]

    def row(self) -> str:
        """Return the event as a row of a table."""
        clock = time.strftime("%H:%M:%S", time.gmtime(self.at))
        what = f"{self.kind} ({self.reason})" if self.kind == REFUSED else self.kind
        return f"{clock}  {what:<40} {self.resource:<28} {self.subject}"


class Trail:
    """Follow the audit trail while it grows.

    Args:
        read: Returns all events, as `keyless audit list --json` prints them.
    """

    def __init__(self, read: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._read: Final = read
        self._seen: Final[set[tuple[str, int]]] = set()
        self.decisions: Final[list[Decision]] = []

    def news(self) -> list[Decision]:
        """Return what was added since the last call."""
        fresh = []
        for event in self._read():
            place = (str(event["writer"]), int(event["sequence"]))
            if place not in self._seen:
                self._seen.add(place)
                fresh.append(Decision.of(event))
        self.decisions.extend(fresh)
        return fresh
