"""What a page costs when there is much: the web pages and the lists of the API, beside the same with little.

    python bench/pages.py [--publishers 100000] [--audit-rows 1000000] [--rounds 3] [--quick] [--json]

See bench/README.md for the method.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from harness.children import ROOT, Failed, Missing, beside_python, run
from harness.figures import Spread, ratio, spread, table
from harness.filling import Size
from harness.issuer import running_issuer
from harness.machine import choose_cores, process_tree, running_seconds
from harness.postgres import running_postgres
from harness.servers import Scene, Server, keyless_filled

GOAL: Final = 1.5
LITTLE: Final = Size(100, 100)
VISITS: Final = 15  # of one page in one round
COUNTED_SECONDS: Final = 120.0  # that housekeeping may need to count a day of exchanges

# What an admin opens, and after the bar what the owner of one namespace sees.
PAGES: Final = (
    *(
        "/ui/",
        "/ui/resources",
        "/ui/resources?after=models/n1/m1",
        "/ui/resources/models/n1/m1",
        "/ui/publishers/pub_1",
    ),
    *("/ui/audit", "/ui/audit?group=exchanges", "/ui/audit?group=refusals", "/ui/audit?group=trust"),
    *("/ui/audit?group=people", "/ui/audit?group=keys", "/ui/audit?resource=n1/m1", "/ui/audit?publisher=pub_1"),
    *("/ui/audit?actor=person:alice", "/ui/audit?after=AT:0", "/ui/tokens", "/ui/issuers", "/ui/keys", "/ui/people"),
    *("/ui/sessions", "owner|/ui/", "owner|/ui/resources", "owner|/ui/audit", "owner|/ui/audit?group=refusals"),
    "owner|/ui/tokens",
)
LISTS: Final = (
    *("publishers", "publishers?resource=n1/m1", "resources", "namespaces", "tokens", "tokens?publisher=pub_1"),
    *("audit", "audit?kind=exchange.refused", "audit?kind=publisher", "audit?resource=n1/m1", "audit?publisher=pub_1"),
    *("audit?actor=person:alice", "issuers", "people", "resource-servers", "owner|publishers", "owner|resources"),
)


def _seconds(pid: int) -> float:
    try:
        return running_seconds(pid)  # to the nanosecond: the kernel's own account of processes counts hundredths
    except OSError:  # a process of the database's own that has ended
        return 0.0


@dataclass
class Desk:
    """A service that runs, and the people who look at it."""

    server: Server
    engine: str
    size: Size
    database_pid: int | None
    cookies: dict[str, str] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.server.inside_port, timeout=60)

    def open(self, path: str) -> bytes:
        """Open a page or a list and return it.

        Raises:
            Failed: The answer is another than 200.
        """
        who, bar, path = path.rpartition("|")
        who = who if bar else "admin"
        if path.startswith("/ui"):
            headers = {"Cookie": f"keyless_session={self.cookies[who]}"}
        else:
            path, headers = f"/api/v1/{path}", {"Authorization": f"Bearer {self.logins[who]}"}
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise Failed(f"{self.server.name}: {path} answers {answer.status}\n{content[:500]!r}")
        return content

    def spent(self) -> float:
        """Return the CPU seconds of the service so far, with those of its database server."""
        database = [] if self.database_pid is None else process_tree(self.database_pid)
        return sum(map(_seconds, [self.server.pid, *database]))

    def post(
        self, path: str, fields: Mapping[str, str], *, as_json: bool
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a form, or JSON."""
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        body = json.dumps(fields) if as_json else urlencode(fields)
        self.connection.request("POST", path, body, {"Content-Type": kind, "Sec-Fetch-Site": "same-origin"})
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()


def sign_in(desk: Desk, env: Mapping[str, str], folder: Path) -> None:
    """Make an admin and the owner of a namespace, and sign both in: to the pages and to the API."""
    program = [beside_python("keyless"), "admin"]
    options = ["--config", desk.server.config]
    for who, role in (("admin", "admin"), ("owner", "owner:n1")):
        run([*program, "person", "add", who, "--role", role, *options], env=env)
        codes = []
        for number in range(2):
            path = folder / f"{desk.server.config.stem}-{who}-{number}.code"
            run([*program, "code", "--for", who, "--file", path, *options], env=env)
            codes.append(path.read_text().strip())
            if number == 0:
                _, headers, content = desk.post("/ui/sign-in", {"code": codes[0], "next": "/ui/"}, as_json=False)
                cookie = headers.get("set-cookie", "")
                if not cookie:
                    raise Failed(f"signing in to the pages failed: {content[:500]!r}")
                desk.cookies[who] = cookie.partition("=")[2].partition(";")[0]
        status, _, content = desk.post("/api/v1/login", {"code": codes[1]}, as_json=True)
        if status != 201:
            raise Failed(f"signing in to the API failed: {content[:500]!r}")
        desk.logins[who] = json.loads(content)["token"]


def wait_until_counted(desk: Desk) -> None:
    """Wait for housekeeping: a database that was filled from outside has a day to count, once."""
    ends_at, before = time.monotonic() + COUNTED_SECONDS, b""
    while time.monotonic() < ends_at:
        desk.connection.close()  # the service would, meanwhile
        time.sleep(12)  # it counts every ten seconds
        page = desk.open("/ui/")
        numbers = page.partition(b'<ul class="numbers">')[2].partition(b"</ul>")[0]
        if numbers == before:
            return
        before = numbers
    raise Failed(f"{desk.server.name}: the exchanges of a day are not counted after {COUNTED_SECONDS:.0f} s")


@contextmanager
def desks_for(options: argparse.Namespace, directory: Path, missing: list[str]) -> Iterator[list[Desk]]:
    """Start a service for each engine and size."""
    cores = choose_cores()
    with ExitStack() as stack:
        issuer = stack.enter_context(running_issuer())
        postgres = None
        if "postgresql" in options.engines:
            try:
                postgres = stack.enter_context(running_postgres(directory, cores.measured))
            except Missing as reason:
                missing.append(str(reason))
        audience = "http://127.0.0.1:8080"
        where = (directory, issuer.url, issuer.jwks_uri, audience, 0, issuer.claims, cores.measured)
        scene = Scene(*where, postgres)
        desks = []
        for engine in options.engines.split(","):
            if engine == "postgresql" and postgres is None:
                continue
            for size in (LITTLE, Size(options.publishers, options.audit_rows)):
                began = time.monotonic()
                server = stack.enter_context(keyless_filled(scene, engine, size))
                print(f"{server.name}: filled and started in {time.monotonic() - began:.0f} s", file=sys.stderr)
                pid = postgres.pid if engine == "postgresql" and postgres is not None else None
                desk = Desk(server, engine, size, pid)
                sign_in(desk, server.env, directory)
                desks.append(desk)
        for desk in desks:
            wait_until_counted(desk)
        for desk in desks:
            desk.connection.close()
        yield desks


def measure(desks: Sequence[Desk], paths: Sequence[str], rounds: int) -> dict[tuple[str, str, bool], list[float]]:
    """Go round: page by page, and each page at every desk before the next. Returns CPU seconds of one visit."""
    found: dict[tuple[str, str, bool], list[float]] = {}
    for number in range(rounds + 1):
        for path in paths:
            for desk in desks:
                before = desk.spent()
                for _ in range(VISITS):
                    desk.open(path.replace("AT", str(int(time.time()) - 600)))
                spent = (desk.spent() - before) / VISITS
                if number:  # the first round warms up
                    found.setdefault((path, desk.engine, desk.size == LITTLE), []).append(spent)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare what a page costs with much and with little behind it.")
    parser.add_argument("--publishers", type=int, default=100_000)
    parser.add_argument("--audit-rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default="sqlite,postgresql")
    parser.add_argument("--quick", action="store_true", help="a tenth of it and two rounds: to see that it works")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--state", type=Path, help="directory for the databases (default: bench's); 4 GB free")
    options = parser.parse_args()
    if options.quick:
        options.publishers, options.audit_rows, options.rounds = 10_000, 100_000, 2
    return options


def main() -> int:
    options = arguments()
    missing: list[str] = []
    parent = options.state or ROOT / ".venvs"
    parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyless-bench-", dir=parent) as name:
        Path(name).chmod(0o711)  # PostgreSQL runs as somebody else
        try:
            with desks_for(options, Path(name), missing) as desks:
                paths = (*PAGES, *LISTS)
                found = measure(desks, paths, options.rounds)
        except Failed as error:
            print(f"bench/pages.py: no result: {error}", file=sys.stderr)
            return 1
    engines = list(dict.fromkeys(engine for _, engine, _ in found))
    lines: list[tuple[str, str, Spread, float, float]] = [
        (
            path,
            engine,
            ratio(found[path, engine, False], found[path, engine, True]),
            spread(found[path, engine, True]).median,
            spread(found[path, engine, False]).median,
        )
        for path in paths
        for engine in engines
    ]
    facts = {
        "much": str(Size(options.publishers, options.audit_rows)),
        "little": f"{LITTLE}, and in both a hundred and twenty events of each kind that a page asks for",
        "rounds": f"{options.rounds} of {VISITS} visits of each page at each service; CPU time of service and database",
        "the whole run": f"{time.monotonic() - began:.0f} s",
    }
    if options.json:
        rows = [
            {"page": p, "engine": e, "ratio": r.as_json(), "little_ms": a * 1e3, "much_ms": b * 1e3}
            for p, e, r, a, b in lines
        ]
        print(json.dumps({"facts": facts, "goal": GOAL, "pages": rows, "missing": missing}, indent=2))
        return 0
    for fact, value in facts.items():
        print(f"{fact}: {value}")
    head = ["page", "engine", "little, ms", "much, ms", "much / little"]
    cells = [[p, e, f"{a * 1e3:.1f}", f"{b * 1e3:.1f}", r.text(2)] for p, e, r, a, b in lines]
    print(f"\n{table(head, cells)}\n")
    for engine in engines:
        ratios = sorted(((r.median, p) for p, e, r, _, _ in lines if e == engine), reverse=True)
        over = sum(median > GOAL for median, _ in ratios)
        print(f"{engine}: worst {ratios[0][0]:.2f}, {ratios[0][1]} (goal <= {GOAL}); {over} pages above the goal")
    for line in missing:
        print(f"MISSING  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
