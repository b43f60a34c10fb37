"""`python -m tests.fuzz [COUNT [SEED]]`: send 100,000 bodies to the token door and print what became of them."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.token_door import run

COUNT = 100_000


def main(argv: list[str]) -> int:
    """Fuzz, print, and return 1 when something is wrong."""
    count = int(argv[0]) if argv else COUNT
    seed = int(argv[1]) if len(argv) > 1 else int(time.time())
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyless-fuzz-") as directory:
        report = run(count, Path(directory), seed=seed)
    statuses = ", ".join(f"{status}: {number}" for status, number in sorted(report.statuses.items()))
    print(f"{count} bodies at the token door, seed {seed}, {time.monotonic() - started:.0f} s: {statuses}")
    print(f"resident memory in KiB, at the start and after each tenth: {' '.join(map(str, report.memory_kib))}")
    for problem in report.problems:
        print(problem)
    print("no 5xx, nothing in the error log, memory flat" if not report.problems else "FAILED")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
