"""Start commands one after the other, wait for each, and say what the kernel counted for it.

Runs as a process of its own with `python -I -S` and imports only what the interpreter has built in: the size of a
parent shows up as the peak memory of small children, so this parent has to be small. It reads one command a line:
core, files for stdout and stderr, number of arguments, arguments, environment, separated by NUL. It answers with exit
status, wall, user and system seconds and peak memory in KiB.
"""

from __future__ import annotations

import posix
import sys
import time

WRITE = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC


def main() -> None:
    for line in sys.stdin:
        core, stdout, stderr, count, *words = line.rstrip("\n").split("\0")
        argv, pairs = words[: int(count)], words[int(count) :]
        posix.sched_setaffinity(0, [int(core)])
        start = time.perf_counter()
        pid = posix.posix_spawn(
            argv[0],
            argv,
            dict(pair.split("=", 1) for pair in pairs),
            file_actions=[
                (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
                (posix.POSIX_SPAWN_OPEN, 1, stdout, WRITE, 0o600),
                (posix.POSIX_SPAWN_OPEN, 2, stderr, WRITE, 0o600),
            ],
        )
        _, status, usage = posix.wait4(pid, 0)
        wall = time.perf_counter() - start
        code = posix.waitstatus_to_exitcode(status)
        print(code, f"{wall:.6f}", usage.ru_utime, usage.ru_stime, usage.ru_maxrss, flush=True)


if __name__ == "__main__":
    main()
