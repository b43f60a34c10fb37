"""What becomes of callers when more of them come than can be served, and whether a long run leaves anything behind.

    python bench/overload.py [--seconds 10] [--rounds 3]
    python bench/overload.py --soak 600

Capacity is measured by a closed loop in the same run; then requests come in an open loop at 0.8 and 1.5 times that,
over 512 connections, each timed from its intended arrival. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from harness.children import ROOT, Failed, environment, free_port, run
from harness.id_tokens import Pool, Recipe
from harness.issuer import running_issuer
from harness.load import FORM_HEAD, PATH, send
from harness.machine import Cores, choose_cores, on_core, pss_mib
from harness.servers import Scene, Server, keyless

CONNECTIONS = 512
CLOSED_CONNECTIONS = 64
CLOSED_SECONDS = 3.0
MAX_LAG_MS = 10.0
_HERE = Path(__file__).parent


@dataclass
class Stage:
    scene: Scene
    server: Server
    pool: Pool
    cores: Cores

    def capacity(self, rounds: int) -> float:
        """Return exchanges per second of wall time, the median of closed-loop rounds."""
        rates: list[float] = []
        tokens = self.scene.directory / "closed.tokens"
        for _ in range(rounds + 1):
            self.pool.take(int(CLOSED_SECONDS * 9000), tokens)
            answered = send(
                self.server.port,
                tokens,
                form_tail=self.server.form_tail,
                once=True,
                connections=CLOSED_CONNECTIONS,
                seconds=CLOSED_SECONDS,
                core=self.cores.other,
            )
            self.pool.give_back(tokens, answered.sent)
            rates.append(answered.count / answered.wall_seconds)
        return median(rates[1:])  # the first one warms up

    def offer(self, rate: float, seconds: float) -> dict[str, Any]:
        """Offer requests in an open loop and return what the generator saw."""
        tokens = self.scene.directory / "open.tokens"
        self.pool.take(int(rate * seconds * 1.05) + 100, tokens)
        words = [self.server.port, PATH, CONNECTIONS, seconds, rate, tokens, FORM_HEAD, self.server.form_tail, "once"]
        with on_core(self.cores.other):
            program = _HERE / "harness" / "open_load.py"
            seen: dict[str, Any] = json.loads(run([sys.executable, program, *map(str, words)], env=environment()))
        return seen


@contextmanager
def stage_for(directory: Path) -> Iterator[Stage]:
    cores, port = choose_cores(), free_port()
    with ExitStack() as stack:
        issuer = stack.enter_context(running_issuer())
        audience = f"http://127.0.0.1:{port}"
        scene = Scene(directory, issuer.url, issuer.jwks_uri, audience, port, issuer.claims, cores.measured)
        server = stack.enter_context(keyless(scene))
        claims = {**issuer.claims, "iss": issuer.url, "aud": audience}
        pool = stack.enter_context(Pool(Recipe(issuer.kid, issuer.private_der, claims)))
        yield Stage(scene, server, pool, cores)


def describe(name: str, rate: float, seen: dict[str, Any], capacity: float) -> dict[str, Any]:
    granted = seen["statuses"].get("200", 0)
    found = {
        "offered": name,
        "per_second": round(rate),
        "goodput / capacity": round(granted / seen["seconds"] / capacity, 3),
        "answers": seen["statuses"],
        "503 without Retry-After": seen["without_retry_after"],
        "lost or unanswered": seen["lost"] + seen["unanswered"],
        "p50 ms": round(seen["p50_ms"] or 0, 1),
        "p99 ms": round(seen["p99_ms"] or 0, 1),
        "generator's lag ms": round(seen["lag_ms"], 1),
        "void": seen["lag_ms"] > MAX_LAG_MS,
    }
    print(json.dumps(found))
    return found


def overload(stage: Stage, options: argparse.Namespace) -> None:
    capacity = stage.capacity(options.rounds)
    print(f"capacity: {capacity:.0f} exchanges per second of wall time, closed loop, {CLOSED_CONNECTIONS} connections")
    below, above = [], []
    for _ in range(options.rounds):
        below.append(describe("0.8", 0.8 * capacity, stage.offer(0.8 * capacity, options.seconds), capacity))
        above.append(describe("1.5", 1.5 * capacity, stage.offer(1.5 * capacity, options.seconds), capacity))
    p99_below, p99_above = median(e["p99 ms"] for e in below), median(e["p99 ms"] for e in above)
    print(f"0.8 x: p99 / p50 {p99_below / median(e['p50 ms'] for e in below):.1f} (goal <= 5)")
    print(f"1.5 x: goodput {median(e['goodput / capacity'] for e in above):.3f} of capacity (goal >= 0.90)")
    print(f"1.5 x: p99 of the accepted / p99 at 0.8 x {p99_above / p99_below:.1f} (goal <= 10)")
    idle = [socket.create_connection(("127.0.0.1", stage.server.port)) for _ in range(512)]
    try:
        seen = stage.offer(0.5 * capacity, options.seconds / 2)
        print(f"512 idle connections beside 0.5 x: answers {seen['statuses']} (goal: nothing but 200)")
    finally:
        for connection in idle:
            connection.close()


def soak(stage: Stage, seconds: float) -> None:
    capacity = stage.capacity(2)
    rate, step = capacity / 2, 10.0
    print(f"capacity {capacity:.0f} per second; {rate:.0f} per second for {seconds:.0f} s")
    readings: list[tuple[float, int]] = []
    answers = 0
    for _ in range(max(5, round(seconds / step))):
        seen = stage.offer(rate, step)
        answers += seen["statuses"].get("200", 0)
        others = {status: count for status, count in seen["statuses"].items() if status != "200"} or "nothing else"
        descriptors = len(list(Path(f"/proc/{stage.server.pid}/fd").iterdir()))
        readings.append((pss_mib(stage.server.pid), descriptors))
        print(f"{answers} granted, {others}; PSS {readings[-1][0]:.1f} MiB, {descriptors} descriptors", flush=True)
    first, last = readings[len(readings) // 5], readings[-1]  # caches fill first
    print(f"memory: {last[0] / first[0] - 1:+.1%} (goal: within 5 %)")
    print(f"descriptors: {last[1] - first[1]:+d} (goal: no growth)")


def main() -> int:
    parser = argparse.ArgumentParser(description="Offer a service more than it can do, or much for long.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="half the capacity for so long instead")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works, not to quote")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    parent = ROOT / ".venvs"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="keyless-bench-", dir=parent) as name:
        try:
            with stage_for(Path(name)) as stage:
                soak(stage, options.soak) if options.soak else overload(stage, options)
        except Failed as error:
            print(f"bench/overload.py: no result: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
