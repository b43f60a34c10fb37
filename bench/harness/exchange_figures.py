"""The figures of `exchange.py`: what was measured, the ratios that follow, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness.figures import ratio, spread, table

SERVICE: Final = "keyless serve"
FLOOR: Final = "bare ASGI"
OIDC_PROVIDER: Final = "oidc-provider 9"
FASTAPI: Final = "FastAPI + PyJWT + SQLAlchemy"
SERVICE_POSTGRES: Final = "keyless serve, PostgreSQL"
SERVICE_UNDURABLE: Final = "keyless serve, nothing kept"
FASTAPI_POSTGRES: Final = "the same on PostgreSQL"
GOALS: Final = {
    SERVICE: {"S2": FLOOR, "S3": OIDC_PROVIDER, "S4": FASTAPI, "S6": SERVICE_UNDURABLE},
    SERVICE_POSTGRES: {"S2": FLOOR, "S3": OIDC_PROVIDER, "S4": FASTAPI_POSTGRES, "S6": SERVICE_UNDURABLE},
}
# A run says nothing when a peer did worse than it can: these shares of the crypto loop, at 64 connections.
LEAST: Final = {OIDC_PROVIDER: 0.12, FASTAPI: 0.025, FASTAPI_POSTGRES: 0.025}


@dataclass(frozen=True, slots=True)
class Round:
    """One server under load for a moment."""

    exchanges: int
    cpu_seconds: float
    wall_seconds: float
    p50_ms: float
    p99_ms: float
    others_cores: float

    @property
    def per_cpu_second(self) -> float:
        return self.exchanges / self.cpu_seconds

    @property
    def per_second(self) -> float:
        return self.exchanges / self.wall_seconds


@dataclass
class Results:
    """Everything that was measured."""

    rounds: dict[tuple[str, int], list[Round]] = field(default_factory=dict)
    loop: dict[int, list[float]] = field(default_factory=dict)
    loop_json: str = ""
    pss: dict[str, float] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def rates(self, server: str, connections: int) -> list[float]:
        return [entry.per_cpu_second for entry in self.rounds[server, connections]]


def ratios(results: Results) -> list[dict[str, Any]]:
    """Divide our figures by those measured beside them."""
    names = {name for name, _ in results.rounds}
    found: list[dict[str, Any]] = []
    if SERVICE not in names:
        return found
    for service, goals in GOALS.items():
        if service not in names:
            continue
        for connections in results.loop:
            ours = results.rates(service, connections)
            found.append(_ratio("S1", service, "the crypto loop", connections, ours, results.loop[connections]))
            found += [
                _ratio(goal, service, peer, connections, ours, results.rates(peer, connections))
                for goal, peer in goals.items()
                if peer in names
            ]
    for peer in (FLOOR, OIDC_PROVIDER):
        if peer in names:
            found.append(_ratio("M1", SERVICE, f"{peer}, memory", None, [results.pss[SERVICE]], [results.pss[peer]]))
    return found


def why_void(results: Results) -> list[str]:
    """Return what makes a run say nothing: a peer that did worse than it can."""
    found = []
    for peer, least in LEAST.items():
        if (peer, 64) in results.rounds:
            share = ratio(results.rates(peer, 64), results.loop[64]).median
            if share < least:
                found.append(f"{peer} reached {share:.3f} of the crypto loop, and can do {least}")
    return found


def _ratio(
    goal: str, service: str, peer: str, connections: int | None, ours: Sequence[float], theirs: Sequence[float]
) -> dict[str, Any]:
    return {"goal": goal, "of": service, "to": peer, "connections": connections, "ratio": ratio(ours, theirs)}


def print_report(results: Results) -> None:
    for name, value in results.facts.items():
        print(f"{name}: {value}")
    servers = list(dict.fromkeys(name for name, _ in results.rounds))
    for connections in results.loop:
        rows_ = []
        for name in servers:
            entries = results.rounds[name, connections]
            rows_.append(
                [
                    name,
                    spread(entry.per_cpu_second for entry in entries).text(0),
                    spread(entry.per_second for entry in entries).text(0),
                    f"{spread(entry.p50_ms for entry in entries).median:.1f}",
                    f"{spread(entry.p99_ms for entry in entries).median:.1f}",
                    f"{results.pss[name]:.0f}",
                ]
            )
        loop = f"crypto loop ({results.loop_json}), no HTTP, no store"
        rows_.append([loop, spread(results.loop[connections]).text(0), "", "", "", ""])
        head = [f"{connections} connections", "per CPU-second", "per second", "p50 ms", "p99 ms", "PSS MiB"]
        print(f"\n{table(head, rows_)}")
    lines = [
        [f"{row['goal']}  {row['of']} / {row['to']}", str(row["connections"] or ""), row["ratio"].text(3)]
        for row in ratios(results)
    ]
    print(f"\n{table(['ratio, round by round', 'connections', 'median (min-max)'], lines)}")
    for line in results.missing:
        print(f"\nMISSING  {line}")
    for line in why_void(results):
        print(f"\nVOID  {line}")


def as_json(results: Results) -> dict[str, object]:
    return {
        "facts": results.facts,
        "servers": [
            {
                "server": name,
                "connections": connections,
                "per_cpu_second": spread(entry.per_cpu_second for entry in entries).as_json(),
                "per_second": spread(entry.per_second for entry in entries).as_json(),
                "p50_ms": spread(entry.p50_ms for entry in entries).as_json(),
                "p99_ms": spread(entry.p99_ms for entry in entries).as_json(),
                "pss_mib": results.pss[name],
            }
            for (name, connections), entries in results.rounds.items()
        ],
        "crypto_loop_per_cpu_second": {
            connections: spread(rates).as_json() for connections, rates in results.loop.items()
        },
        "ratios": [row | {"ratio": row["ratio"].as_json()} for row in ratios(results)],
        "missing": results.missing,
        "void": why_void(results),
    }
