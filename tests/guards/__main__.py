"""Take every guard out, one after another: `python -m tests.guards [WORD ...]` (`make guards`)."""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.guards.guard import Guard, take_out
from tests.guards.guards import GUARDS

AT_ONCE = 2


def main(words: list[str]) -> int:
    """Take the guards out whose ids or file hold one of the words, all of them without words; print the count."""
    chosen = [guard for guard in GUARDS if not words or any(word in f"{guard.ids} {guard.file}" for word in words)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyless-guards-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:

        def one(number: int, guard: Guard) -> str | None:
            return take_out(guard, Path(folder) / str(number))

        problems = list(pool.map(one, range(len(chosen)), chosen))
    for guard, problem in zip(chosen, problems, strict=True):
        print(f"{'ok  ' if problem is None else 'FAIL'} {guard.ids:28} {guard.file}: {guard.test.rpartition('::')[2]}")
        if problem is not None:
            print(f"     {problem}")
    good = problems.count(None)
    print(
        f"{len(chosen)} guards taken out, {good} tests failed as they must, {len(chosen) - good} did not"
        f" ({time.monotonic() - started:.0f} s)"
    )
    return 0 if chosen and good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
