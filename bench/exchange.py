"""What one token exchange costs the service: exchanges per CPU-second, beside a floor and beside others.

    python bench/exchange.py [--rounds 5] [--seconds 2] [--quick] [--json]

See bench/README.md for the method.
"""

from __future__ import annotations

import argparse
import http.client
import json
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.children import ROOT, Failed, Missing, environment, free_port, run
from harness.exchange_figures import FLOOR, SERVICE, Results, Round, as_json, print_report
from harness.id_tokens import Pool, Recipe, cryptography_version
from harness.issuer import running_issuer
from harness.load import FORM_HEAD, PATH, generator_name, send
from harness.machine import (
    QUIET_CORES,
    Cores,
    Gate,
    busy_seconds,
    choose_cores,
    cpu_seconds,
    filesystem_of,
    on_core,
    own_seconds,
    pss_mib,
    sync_microseconds,
)
from harness.postgres import running_postgres
from harness.servers import (
    PEERS,
    Scene,
    Server,
    bare_asgi,
    fastapi_postgres,
    fastapi_pyjwt,
    keyless,
    keyless_postgres,
    keyless_undurable,
    oidc_provider,
    peer_python,
    rows,
)

CONNECTIONS = (16, 64)
SHARED_TOKENS = 2000  # the peers' tokens, which go round; the service gets its own, each once
FIRST_GUESS = 8000  # exchanges per second, until the warm-up has shown how many
LOOP_SECONDS = 0.5
ATTEMPTS = 3  # at a round that others disturb


@dataclass
class Stage:
    """A run under way."""

    scene: Scene
    servers: Sequence[Server]
    pool: Pool
    cores: Cores
    gate: Gate
    shared_tokens: Path
    jwks: Path
    seconds: float
    rate: float = FIRST_GUESS
    exchanged: int = 0

    def load_undisturbed(self, server: Server, connections: int) -> Round:
        """Load one server; when others took time meanwhile, do it again and keep the least disturbed round."""
        attempts = [self.load(server, connections)]
        while self.gate.patience_seconds and attempts[-1].others_cores > QUIET_CORES and len(attempts) < ATTEMPTS:
            attempts.append(self.load(server, connections))
        return min(attempts, key=lambda entry: entry.others_cores)

    def load(self, server: Server, connections: int) -> Round:
        """Load one server for one round.

        Raises:
            Failed: Any answer was not 200.
        """
        tokens = self.shared_tokens
        if server.single_use:
            tokens = self.scene.directory / "round.tokens"
            self.pool.take(int(self.rate * self.seconds * 1.4) + 500, tokens)
        self.gate.wait()
        busy, cpu, ours = busy_seconds(), cpu_seconds(server.pid), own_seconds()
        answered = send(
            server.port,
            tokens,
            form_tail=server.form_tail,
            once=server.single_use,
            connections=connections,
            seconds=self.seconds,
            core=self.cores.other,
        )
        cpu = cpu_seconds(server.pid) - cpu
        others = max(0.0, busy_seconds() - busy - cpu - (own_seconds() - ours)) / answered.wall_seconds
        if server.single_use:
            self.rate = max(1000.0, answered.count / answered.wall_seconds)
            self.exchanged += answered.count * (server.name == SERVICE)
            self.pool.give_back(tokens, answered.sent)
        return Round(answered.count, cpu, answered.wall_seconds, answered.p50_ms, answered.p99_ms, others)

    def crypto_loop(self) -> tuple[float, str]:
        """Return exchanges per CPU-second of the hand-written loop, and its JSON library."""
        python = peer_python() or Path(sys.executable)
        program = PEERS / "crypto_loop" / "loop.py"
        self.gate.wait()
        with on_core(self.cores.measured):
            words = [self.shared_tokens, self.jwks, self.scene.audience, LOOP_SECONDS]
            report = json.loads(run([python, program, *map(str, words)], env=environment()))
        return report["exchanges"] / report["cpu_seconds"], report["json"]


def exchange_once(server: Server, token: str) -> tuple[int, dict[str, Any]]:
    """Exchange one token and return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", PATH, f"{FORM_HEAD}{token}{server.form_tail}", form)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else {"text": text.decode(errors="replace")}
    finally:
        connection.close()


def prove(stage: Stage) -> None:
    """See that each server exchanges, and that ours refuses an id token that it has seen, a forged and a foreign one.

    Raises:
        Failed: One does not; its figures would mean nothing.
    """
    fresh = stage.scene.directory / "proof.tokens"
    stage.pool.take(len(stage.servers), fresh)
    for server, token in zip(stage.servers, fresh.read_text().split(), strict=True):
        status, body = exchange_once(server, token)
        if status != 200 or not body.get("access_token"):
            log = server.log.read_text(errors="replace")[-1500:]
            raise Failed(f"{server.name} answers {status} {json.dumps(body)[:500]}\n{log}")
        if server.name == FLOOR:
            continue
        signed, _, signature = token.rpartition(".")
        forged = f"{signed}.{signature[:-8]}{'A' * 6}{signature[-2:]}"
        if exchange_once(server, forged)[0] == 200:
            raise Failed(f"{server.name} accepts a token with a forged signature")
        if server.single_use and server.durable:
            stage.exchanged += server.name == SERVICE
            if exchange_once(server, token)[0] == 200:
                raise Failed(f"{server.name} accepts the same id token twice")


def measure(stage: Stage, rounds: int, results: Results) -> None:
    """Warm every server up, then go round: server by server, the loop between them, again and again."""
    for connections in CONNECTIONS:  # long enough for the compiler inside Node, too
        for server in stage.servers:
            stage.load(server, connections)
    stage.pool.fill(int(stage.rate * stage.seconds * rounds * len(CONNECTIONS) * 1.2))
    for connections in CONNECTIONS:
        for _ in range(rounds):
            for server in stage.servers:
                results.rounds.setdefault((server.name, connections), []).append(
                    stage.load_undisturbed(server, connections)
                )
            rate, results.loop_json = stage.crypto_loop()
            results.loop.setdefault(connections, []).append(rate)
    for server in stage.servers:
        results.pss[server.name] = pss_mib(server.pid)


@contextmanager
def stage_for(options: argparse.Namespace, directory: Path, results: Results) -> Iterator[Stage]:
    """Start the issuer and all servers that can take part; note the others."""
    cores = choose_cores()
    port = free_port()
    with ExitStack() as stack:
        issuer = stack.enter_context(running_issuer())
        jwks = directory / "jwks.json"
        jwks.write_bytes(issuer.jwks)
        audience = f"http://127.0.0.1:{port}"
        postgres = None
        if "postgresql" in options.engines:
            try:
                postgres = stack.enter_context(running_postgres(directory, cores.other))
                shown = ("server_version", "fsync", "synchronous_commit")
                results.facts["PostgreSQL"] = ", ".join(f"{name} {postgres.ask(f'SHOW {name}')}" for name in shown)
            except Missing as reason:
                results.missing.append(str(reason))
        where = (directory, issuer.url, issuer.jwks_uri, audience, port, issuer.claims, cores.measured)
        scene = Scene(*where, postgres)
        servers = []
        starters = [bare_asgi, keyless, keyless_undurable, oidc_provider, fastapi_pyjwt]
        if "postgresql" in options.engines:
            starters += [keyless_postgres, fastapi_postgres]
        for start in starters:
            try:
                servers.append(stack.enter_context(start(scene)))
            except Missing as reason:
                results.missing.append(str(reason))
        claims = {**issuer.claims, "iss": issuer.url, "aud": audience}
        pool = stack.enter_context(Pool(Recipe(issuer.kid, issuer.private_der, claims)))
        shared = directory / "shared.tokens"
        pool.take(SHARED_TOKENS, shared)
        gate = Gate(options.patience)
        yield Stage(scene, servers, pool, cores, gate, shared, jwks, options.seconds)


def facts_of(stage: Stage, results: Results, rounds: int) -> Mapping[str, object]:
    """Say under which conditions the figures came about."""
    written = rows(stage.scene)
    if written["token"] < stage.exchanged or written["audit_event"] < stage.exchanged:
        raise Failed(f"the service answered {stage.exchanged} times and wrote {written}")
    disturbed = sum(entry.others_cores > QUIET_CORES for entries in results.rounds.values() for entry in entries)
    count = sum(map(len, results.rounds.values()))
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cryptography": cryptography_version(),
        "cores": "ONE, shared with the generator" if stage.cores.shared else "servers on one, generator on the other",
        "generator": generator_name(),
        "rounds": f"{rounds} of {stage.seconds:g} s for each server and number of connections",
        "rounds in which others took time": f"{disturbed} of {count} (more than {QUIET_CORES} of a core)",
        "rounds begun on a busy machine": stage.gate.gave_up if stage.gate.patience_seconds else "not checked",
        "store of keyless": f"SQLite WAL, synchronous=FULL, on {filesystem_of(stage.scene.directory)}; "
        f"one sync takes {sync_microseconds(stage.scene.directory):.0f} us here",
        "replay": f"on: each of {stage.pool.made} id tokens was sent to keyless at most once",
        "rows of keyless": ", ".join(f"{name} {number}" for name, number in written.items()),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare what one token exchange costs a service.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server, at least 5")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s: to see that it works, not to quote")
    parser.add_argument(
        "--engines", default="sqlite,postgresql", help="databases to measure on: sqlite, or sqlite,postgresql"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--patience", type=float, default=10.0, metavar="SECONDS", help="waited for a quiet machine")
    parser.add_argument("--state", type=Path, help="directory for the databases; a disk, not memory (default: bench's)")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("--rounds: at least 5, or --quick")
    if options.quick:
        options.rounds, options.seconds, options.patience = 2, 1.0, 0.0
    return options


def main() -> int:
    options = arguments()
    results = Results()
    parent = options.state or ROOT / ".venvs"  # on the disk of the checkout; the temporary directory may be memory
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="keyless-bench-", dir=parent) as name:
        Path(name).chmod(0o711)  # PostgreSQL runs as somebody else
        try:
            with stage_for(options, Path(name), results) as stage:
                prove(stage)
                measure(stage, options.rounds, results)
                results.facts.update(facts_of(stage, results, options.rounds))
        except Failed as error:
            print(f"bench/exchange.py: no result: {error}", file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(as_json(results), indent=2))
    else:
        print_report(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
