"""What the service's size costs: memory by the number of publishers, CPU by the number of rows.

    python bench/size.py [--publishers 100000] [--audit-rows 10000000] [--rounds 5] [--quick] [--json]

See bench/README.md for the method.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from harness.children import ROOT, Failed, Missing
from harness.figures import Spread, ratio, spread, table
from harness.filling import GROUP, Size
from harness.id_tokens import Recipe, sign_many
from harness.issuer import running_issuer
from harness.load import send
from harness.machine import Cores, choose_cores, cpu_seconds, pss_mib
from harness.postgres import running_postgres
from harness.servers import Scene, Server, bare_asgi, keyless_filled

HUNDRED: Final = Size(100, 1_000)
THOUSAND: Final = Size(1_000, 1_000)
CONNECTIONS: Final = 64
EXCHANGES: Final = 2_000  # of one round, at most
LOAD_SECONDS: Final = 2.0
MANNERS: Final = ("one publisher", "all publishers")
COST_GOAL: Final = 1.2
MEMORY_GOAL: Final = 4.0  # times bare uvicorn, at a thousand publishers
GROWTH_GOAL_MIB: Final = 60.0  # from there to a hundred thousand


@dataclass
class Measured:
    """What one service was seen to need."""

    server: Server
    engine: str
    size: Size
    cost: dict[str, list[float]] = field(default_factory=dict)
    pss: float = 0.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Id tokens of the jobs that publishers are made for, each of them once."""

    recipe: Recipe
    workers: ProcessPoolExecutor

    def write(self, publishers: Sequence[int], path: Path) -> None:
        """Write a token for each publisher, and its resource, as the rest of a form."""
        made = self.workers.map(_token, repeat(self.recipe), publishers, chunksize=50)
        path.write_text(
            "".join(f"{token}&resource={_resource(i)}\n" for token, i in zip(made, publishers, strict=True))
        )


def _token(recipe: Recipe, publisher: int) -> str:
    repository = f"acme/r{publisher}"
    named = {k: v.replace("acme/train", repository) if isinstance(v, str) else v for k, v in recipe.claims.items()}
    claims = {**named, "repository_id": str(publisher), "repository_owner_id": "7"}
    return sign_many(Recipe(recipe.kid, recipe.private_der, claims), 1)[0]


def _resource(publisher: int) -> str:
    return f"models/n{1 + (publisher - 1) // GROUP}/m{publisher}"


@contextmanager
def services(
    options: argparse.Namespace, directory: Path, cores: Cores, missing: list[str]
) -> Iterator[tuple[Server, list[Measured], Tokens]]:
    """Start the floor, and a service of each size on each engine."""
    with ExitStack() as stack:
        issuer = stack.enter_context(running_issuer())
        postgres = None
        if "postgresql" in options.engines:
            try:
                postgres = stack.enter_context(running_postgres(directory, cores.other))
            except Missing as reason:
                missing.append(str(reason))
        audience = "http://127.0.0.1:8080"
        scene = Scene(directory, issuer.url, issuer.jwks_uri, audience, 0, issuer.claims, cores.measured, postgres)
        floor = stack.enter_context(bare_asgi(scene))
        found = []
        for engine in options.engines.split(","):
            if engine == "postgresql" and postgres is None:
                continue
            for size in (HUNDRED, THOUSAND, Size(options.publishers, options.audit_rows)):
                began = time.monotonic()
                server = stack.enter_context(keyless_filled(scene, engine, size))
                print(f"{server.name}: filled and started in {time.monotonic() - began:.0f} s", file=sys.stderr)
                found.append(Measured(server, engine, size))
        workers = stack.enter_context(ProcessPoolExecutor(mp_context=get_context("spawn")))
        claims = {**issuer.claims, "iss": issuer.url, "aud": audience}
        yield floor, found, Tokens(Recipe(issuer.kid, issuer.private_der, claims), workers)


def load(server: Server, tokens: Path, cores: Cores, *, tail: str = "") -> float:
    """Send all tokens to a server; return its CPU seconds for each."""
    before = cpu_seconds(server.pid)
    answered = send(
        server.port, tokens, form_tail=tail, once=True, connections=CONNECTIONS, seconds=LOAD_SECONDS, core=cores.other
    )
    return (cpu_seconds(server.pid) - before) / answered.count


def measure(
    floor: Server, found: Sequence[Measured], tokens: Tokens, rounds: int, cores: Cores, directory: Path
) -> float:
    """Go round, service by service. Returns the memory of the floor."""
    path = directory / "round.tokens"
    for number in range(rounds + 1):
        for manner in MANNERS:
            made: set[Size] = set()
            for one in found:
                where = directory / f"{one.size.publishers}.tokens"
                if one.size not in made:  # the same tokens at both databases: each has seen none of them
                    which = [1] * EXCHANGES
                    if manner == MANNERS[1]:
                        which = random.sample(range(1, one.size.publishers + 1), min(EXCHANGES, one.size.publishers))
                        which = [which[i % len(which)] for i in range(EXCHANGES)]
                    tokens.write(which, where)
                    made.add(one.size)
                spent = load(one.server, where, cores)
                if number:  # the first round warms up
                    one.cost.setdefault(manner, []).append(spent)
    tokens.write([1] * EXCHANGES, path)
    load(floor, path, cores)
    for one in found:
        one.pss = pss_mib(one.server.pid)
    return pss_mib(floor.pid)


def report(found: Sequence[Measured], floor: float) -> tuple[list[dict[str, object]], list[tuple[str, Spread, float]]]:
    """Return the figures, and ratios with their goals."""
    rows: list[dict[str, object]] = []
    ratios: list[tuple[str, Spread, float]] = []
    for engine in dict.fromkeys(one.engine for one in found):
        hundred, thousand, much = (one for one in found if one.engine == engine)
        for one in (hundred, thousand, much):
            costs = {manner: spread(one.cost[manner]).as_json() for manner in MANNERS}
            rows.append({"engine": engine, "size": str(one.size), "cpu_seconds": costs, "pss_mib": one.pss})
        for manner in MANNERS:
            for less, name in ((hundred, "10^2"), (thousand, "10^3")):
                what = f"{engine}, {manner}: cost of an exchange, much / {name}"
                ratios.append((what, ratio(much.cost[manner], less.cost[manner]), COST_GOAL))
        ratios.append((f"{engine}: memory at 10^3 / bare uvicorn", spread([thousand.pss / floor]), MEMORY_GOAL))
        ratios.append(
            (f"{engine}: MiB more with much than at 10^3", spread([much.pss - thousand.pss]), GROWTH_GOAL_MIB)
        )
    return rows, ratios


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what publishers and rows cost a service.")
    parser.add_argument("--publishers", type=int, default=100_000)
    parser.add_argument("--audit-rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default="sqlite,postgresql")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows, two rounds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--state", type=Path, help="directory for the databases (default: bench's); 30 GB free")
    options = parser.parse_args()
    if options.quick:
        options.audit_rows, options.rounds = 100_000, 2
    return options


def main() -> int:
    options = arguments()
    missing: list[str] = []
    cores = choose_cores()
    parent = options.state or ROOT / ".venvs"
    parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyless-bench-", dir=parent) as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL runs as somebody else
        try:
            with services(options, directory, cores, missing) as (floor, found, tokens):
                bare = measure(floor, found, tokens, options.rounds, cores, directory)
                size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()) / 1e9
        except Failed as error:
            print(f"bench/size.py: no result: {error}", file=sys.stderr)
            return 1
    rows, ratios = report(found, bare)
    facts = {
        "much": str(Size(options.publishers, options.audit_rows)),
        "rounds": f"{options.rounds} of {EXCHANGES} exchanges over {CONNECTIONS} connections, at each service in turn",
        "bare uvicorn": f"{bare:.0f} MiB PSS",
        "databases on disk": f"{size:.1f} GB",
        "the whole run": f"{time.monotonic() - began:.0f} s",
    }
    if options.json:
        lines = [{"what": what, "value": value.as_json(), "goal": goal} for what, value, goal in ratios]
        print(json.dumps({"facts": facts, "services": rows, "ratios": lines, "missing": missing}, indent=2))
        return 0
    for fact, text in facts.items():
        print(f"{fact}: {text}")
    head = ["service", *(f"ms of CPU, {manner}" for manner in MANNERS), "PSS MiB"]
    cells = [
        [f"{one.engine}, {one.size}", *(f"{spread(one.cost[m]).median * 1e3:.3f}" for m in MANNERS), f"{one.pss:.0f}"]
        for one in found
    ]
    print(f"\n{table(head, cells)}")
    print(f"\n{table(['', 'median (min-max)', 'goal'], [[w, v.text(2), f'<= {g:g}'] for w, v, g in ratios])}")
    for line in missing:
        print(f"MISSING  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
