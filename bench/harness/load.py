"""Closed-loop load from one process on the other core: wrk where it is installed, else our own generator."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.children import Failed, environment, run
from harness.machine import on_core

PATH: Final = "/oauth/token"
FORM_HEAD: Final = (
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token&subject_token="
)
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Answered:
    """What the clients of one round saw. Every answer was a 200, or there is no object of this kind."""

    count: int
    sent: int
    exhausted: bool
    wall_seconds: float
    p50_ms: float
    p99_ms: float


def generator_name() -> str:
    """Return which generator this machine uses."""
    return "wrk" if shutil.which("wrk") else "own generator (install wrk for one that is never the bottleneck)"


def send(
    port: int, tokens: Path, *, form_tail: str, once: bool, connections: int, seconds: float, core: int
) -> Answered:
    """Send tokens for some seconds, over connections that stay open, each waiting for its answer.

    Args:
        port: Of the server on loopback.
        tokens: One a line.
        form_tail: What follows the token in the form, from the `&` on.
        once: Stop when all tokens were sent; else begin again with the first.
        connections: How many.
        seconds: How long.
        core: Where the generator runs.

    Raises:
        Failed: Any answer was not 200, or a connection failed.
    """
    mode = "once" if once else "round"
    command: list[str | Path]
    wrk = shutil.which("wrk")
    if wrk:
        # wrk knows whole seconds only.
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
        url = f"http://127.0.0.1:{port}{PATH}"
        command = [wrk, *options, "-s", _HERE / "wrk.lua", url, "--", tokens, FORM_HEAD, form_tail, mode]
    else:
        numbers = [str(port), PATH, str(connections), str(seconds)]
        command = [sys.executable, _HERE / "own_load.py", *numbers, tokens, FORM_HEAD, form_tail, mode]
    with on_core(core):
        report = json.loads(run(command, env=environment()).strip().splitlines()[-1])
    failed = {kind: count for kind, count in report["failed"].items() if count}
    if failed or not report["answered"]:
        raise Failed(f"port {port}: {failed} among {report['answered']} answers; every one has to be a 200")
    return Answered(
        count=report["answered"],
        sent=report["sent"],
        exhausted=bool(report["exhausted"]),
        wall_seconds=report["seconds"],
        p50_ms=report["p50_ms"],
        p99_ms=report["p99_ms"],
    )
