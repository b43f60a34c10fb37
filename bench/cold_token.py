"""What a token costs a CI job: whole processes, from start to the token on stdout, and calls inside one, side by side.

    python bench/cold_token.py [--runs 15] [--quick] [--json]

See bench/README.md for the method.
"""

from __future__ import annotations

import argparse
import base64
import json
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.certificates import Authority, make_authority
from harness.children import ROOT, Failed, environment
from harness.ci_stub import ACCESS_TOKEN
from harness.client_installation import install_client, loads_regular_expressions
from harness.figures import ratio, spread, table
from harness.machine import Cores, Gate, choose_cores, on_core
from harness.whole_process import Command, Finished, Launcher, launcher

MIN_RUNS = 11
PYTHON, KEYLESS, HASHED, CACHED, SCRIPT, HF = (
    "python -c pass",
    "keyless token",
    "keyless token, hashed CA directory",
    "python -m keyless token, the job's cached token",
    "curl + jq",
    "hf auth token 2.4.0",
)
OURS_INSIDE, HF_INSIDE = "keyless.get_token(), cached", "huggingface_hub.get_token() 2.4.0, cached"
CALLS = 300_000  # of a cached get_token() in one process: some tenths of a second
INSIDE = """
import time
from {module} import get_token
get_token()
begun = time.process_time()
for _ in range({calls}):
    get_token()
print((time.process_time() - begun) / {calls} * 1e9, get_token())
"""
RATIOS = (
    ("C1", "tls", KEYLESS, SCRIPT),
    ("C2", "tls", HASHED, SCRIPT),
    ("C3", "tls", KEYLESS, HF),
    ("C4", "tls", CACHED, PYTHON),
    ("", "tls", KEYLESS, PYTHON),
    ("", "http", KEYLESS, SCRIPT),
    ("", "http", KEYLESS, HF),
    ("", "http", KEYLESS, PYTHON),
)


@dataclass
class Series:
    """The runs of one command over one transport."""

    transport: str
    command: Command
    mints_a_token: bool | None  # `None` for a command that is no client at all
    runs: list[Finished] = field(default_factory=list)

    def values(self, figure: str) -> list[float]:
        return [getattr(run, figure) for run in self.runs]


@contextmanager
def stub(directory: Path, authority: Authority, request_token: str, core: int) -> Iterator[dict[str, int]]:
    """Run the stub CI and the stub service; yield the ports."""
    program = ROOT / "bench" / "harness" / "ci_stub.py"
    with on_core(core):
        process = subprocess.Popen(
            [sys.executable, str(program), str(authority.chain), request_token],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=directory,
        )
    try:
        if process.stdout is None or not (line := process.stdout.readline()):
            raise Failed("the stub did not start")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait()


def job_environment(
    scheme: str, ports: Mapping[str, int], request_token: str, home: Path, **tls: str
) -> dict[str, str]:
    """Return what GitHub Actions gives a job that has `id-token: write`, plus what the user sets."""
    kind = "tls" if scheme == "https" else "http"
    host = f"{scheme}://127.0.0.1"
    return environment(
        HOME=str(home),
        HF_HOME=str(home / "hf"),
        HF_HUB_DISABLE_UPDATE_CHECK="1",
        CI="true",
        GITHUB_ACTIONS="true",
        GITHUB_REPOSITORY="acme/train",
        ACTIONS_ID_TOKEN_REQUEST_URL=f"{host}:{ports[f'{kind}_ci']}/job/id-token?api-version=2.0",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN=request_token,
        HF_ENDPOINT=f"{host}:{ports[f'{kind}_service']}",
        HF_OIDC_RESOURCE="acme/model",
        **tls,
    )


def make_home(home: Path) -> None:
    """Make a home directory in which `hf` finds the list that it otherwise downloads once a day: the kinder case."""
    (home / "hf").mkdir(parents=True)
    (home / "hf" / ".agent_harnesses.json").write_text(json.dumps({"standardEnvVars": [], "harnesses": {}}))


def line_up(
    client: Path, hf: Path, authority: Authority, ports: Mapping[str, int], request_token: str, home: Path
) -> tuple[list[Series], list[str]]:
    """Return the commands to compare, and what cannot take part."""
    missing = []
    script = ["/bin/sh", str(ROOT / "bench" / "peers" / "curl_jq" / "token.sh")]
    without = [program for program in ("curl", "jq") if shutil.which(program) is None]
    if without:
        missing.append(f"{SCRIPT}: {' and '.join(without)} is not installed")
    if not hf.exists():
        missing.append(f"{HF}: {hf} is not there (make env-hf)")
    if authority.hashed_directory is None:
        missing.append(f"{HASHED}: openssl, which names the files of such a directory, is not installed")
    keyless = [str(client / "keyless"), "token"]
    found = []
    for kind, scheme in (("http", "http"), ("tls", "https")):
        bundle = {"SSL_CERT_FILE": str(authority.bundle)} if kind == "tls" else {}
        env = job_environment(scheme, ports, request_token, home, **bundle)
        found.append(Series(kind, Command(PYTHON, [str(client / "python"), "-c", "pass"], env), None))
        found.append(Series(kind, Command(KEYLESS, keyless, env), True))
        if kind == "tls" and authority.hashed_directory is not None:
            hashed = job_environment(scheme, ports, request_token, home, SSL_CERT_DIR=str(authority.hashed_directory))
            found.append(Series(kind, Command(HASHED, keyless, hashed), True))
        if kind == "tls":
            later = {
                **env,
                "RUNNER_TEMP": str(home),
            }  # emptied with the job, so the job's processes share a token there
            words = [str(client / "python"), "-m", "keyless", "token"]
            found.append(Series(kind, Command(CACHED, words, later), False))
        if not without:
            found.append(Series(kind, Command(SCRIPT, script, env), True))
        if hf.exists():
            found.append(Series(kind, Command(HF, [str(hf), "auth", "token"], env), True))
    return found, missing


def measure(start: Launcher, series: list[Series], ports: Mapping[str, int], runs: int, gate: Gate) -> None:
    """Run all commands in turn, A B C A B C; the first turn writes byte-code and is not counted.

    Raises:
        Failed: A command failed, printed something else than the token, or did not mint and exchange exactly once.
    """
    for turn in range(runs + 1):
        gate.wait()
        for entry in series:
            before = counts(ports)
            done = start.run(entry.command)
            check(entry, done, before, counts(ports))
            if turn:
                entry.runs.append(done)


def counts(ports: Mapping[str, int]) -> dict[str, int]:
    """Return how many requests of each kind the stub has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['http_ci']}/counts") as answer:
        found: dict[str, int] = json.load(answer)
        return found


def check(entry: Series, done: Finished, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Refuse a figure that was not earned."""
    if entry.mints_a_token is None:
        return
    if ACCESS_TOKEN not in done.stdout.split():
        raise Failed(f"{entry.command.name}: printed {done.stdout[:200]!r} instead of the token")
    made = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in {*before, *after}}
    expected = {"mints": 1, "exchanges": 1} if entry.mints_a_token else {}
    if {kind: count for kind, count in made.items() if count} != expected:
        raise Failed(f"{entry.command.name}: asked for {made} instead of {expected}")


def measure_inside(
    start: Launcher, client: Path, hf: Path, env: Mapping[str, str], home: Path, runs: int
) -> list[list[float]]:
    """Return nanoseconds of CPU time for one cached call, ours and theirs, process by process in turn.

    Raises:
        Failed: A program failed, or had another token.
    """
    sides = ((OURS_INSIDE, client / "python", "keyless"), (HF_INSIDE, hf.with_name("python"), "huggingface_hub"))
    commands = []
    for name, python, module in sides:
        program = home / f"inside_{module}.py"
        program.write_text(INSIDE.format(module=module, calls=CALLS))
        commands.append(Command(name, [str(python), str(program)], env))
    figures: list[list[float]] = [[], []]
    for _ in range(runs):
        for command, found in zip(commands, figures, strict=True):
            nanoseconds, token = start.run(command).stdout.split()
            if token != ACCESS_TOKEN:
                raise Failed(f"{command.name}: not the token")
            found.append(float(nanoseconds))
    return figures


def ratios(series: list[Series]) -> list[dict[str, Any]]:
    """Divide pair by pair where both commands took part."""
    by_name = {(entry.transport, entry.command.name): entry for entry in series}
    found = []
    for goal, transport, ours, theirs in RATIOS:
        if (transport, ours) not in by_name or (transport, theirs) not in by_name:
            continue
        left, right = by_name[transport, ours], by_name[transport, theirs]
        found.append(
            {
                "goal": goal,
                "transport": transport,
                "ratio": f"{ours} / {theirs}",
                **{
                    figure: ratio(left.values(figure), right.values(figure))
                    for figure in ("wall_ms", "cpu_ms", "peak_mib")
                },
            }
        )
    return found


def print_report(
    series: list[Series], inside: list[list[float]], missing: list[str], facts: Mapping[str, object]
) -> None:
    for name, value in facts.items():
        print(f"{name}: {value}")
    for transport in ("http", "tls"):
        rows = [
            [
                entry.command.name,
                spread(entry.values("wall_ms")).text(),
                spread(entry.values("cpu_ms")).text(),
                spread(entry.values("peak_mib")).text(),
            ]
            for entry in series
            if entry.transport == transport
        ]
        print(f"\n{table([f'over {transport}', 'wall ms (min-max)', 'CPU ms (min-max)', 'peak MiB (min-max)'], rows)}")
    rows = [
        [f"{row['goal']:2} {row['transport']:4} {row['ratio']}"]
        + [row[figure].text(2) for figure in ("wall_ms", "cpu_ms", "peak_mib")]
        for row in ratios(series)
    ]
    print(f"\n{table(['ratio, pair by pair', 'wall', 'CPU', 'peak memory'], rows)}")
    if inside:
        rows = [[name, spread(found).text()] for name, found in zip((OURS_INSIDE, HF_INSIDE), inside, strict=True)]
        rows.append([f"C5 {OURS_INSIDE} / the Hub's", ratio(*inside).text(2)])
        print(f"\n{table(['in one process', 'ns of CPU per call (min-max)'], rows)}")
    for line in missing:
        print(f"\nMISSING  {line}")


def as_json(
    series: list[Series], inside: list[list[float]], missing: list[str], facts: Mapping[str, object]
) -> dict[str, object]:
    figures = ("wall_ms", "cpu_ms", "peak_mib")
    return {
        "facts": facts,
        "commands": [
            {"transport": entry.transport, "command": entry.command.name}
            | {figure: spread(entry.values(figure)).as_json() for figure in figures}
            for entry in series
        ],
        "ratios": [row | {figure: row[figure].as_json() for figure in figures} for row in ratios(series)],
        "inside": {"C5": ratio(*inside).as_json()} if inside else {},
        "missing": missing,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare what one cold token costs, as whole processes.")
    parser.add_argument("--runs", type=int, default=15, help=f"counted runs of each command, at least {MIN_RUNS}")
    parser.add_argument("--quick", action="store_true", help="three runs: to see that it works, not to quote")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--patience", type=float, default=10.0, metavar="SECONDS", help="waited for a quiet machine")
    parser.add_argument(
        "--hf", type=Path, default=ROOT / ".venvs" / "hf-2.4.0" / "bin" / "hf", help="the hf to compare"
    )
    options = parser.parse_args()
    if options.runs < MIN_RUNS:
        parser.error(f"--runs: at least {MIN_RUNS}, or --quick")
    return options


def compare(options: argparse.Namespace, directory: Path, cores: Cores) -> None:
    client = install_client(directory)
    authority = make_authority(directory)
    request_token = base64.urlsafe_b64encode(secrets.token_bytes(48)).decode()
    home = directory / "home"
    make_home(home)
    gate = Gate(0.0 if options.quick else options.patience)
    runs = 3 if options.quick else options.runs
    with (
        stub(directory, authority, request_token, cores.other) as ports,
        launcher(cores.measured, directory) as start,
    ):
        series, missing = line_up(client, options.hf, authority, ports, request_token, home)
        floor = start.run(Command("true", ["/bin/true"], environment())).peak_mib
        later = next(entry for entry in series if entry.command.name == CACHED)
        start.run(later.command)  # the job's first process, which makes the token
        measure(start, series, ports, runs, gate)
        has_hf = options.hf.exists()
        inside = measure_inside(start, client, options.hf, later.command.env, home, runs) if has_hf else []
    facts: dict[str, object] = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "runs of each command": runs,
        "cores": "one, shared with the stub" if cores.shared else "commands on one, stub on the other",
        "entry points": "the console script `keyless` that pip writes; `python -m keyless` where the row says so",
        "CA bundle": f"{authority.bundle_count} certificates ({authority.bundle_origin}, and our own)",
        "entry point imports re": "yes" if loads_regular_expressions(client / "keyless") else "no",
        "least peak memory that can be seen": f"{floor:.1f} MiB",
        "turns begun on a busy machine": gate.gave_up if gate.patience_seconds else "not checked",
    }
    if options.json:
        print(json.dumps(as_json(series, inside, missing, facts), indent=2))
    else:
        print_report(series, inside, missing, facts)


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="keyless-bench-") as name:
        try:
            compare(options, Path(name), choose_cores())
        except Failed as error:
            print(f"bench/cold_token.py: no result: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
