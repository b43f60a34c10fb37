"""What the kernel counts: CPU time and memory of a process tree, and whether anybody else is busy. Linux only."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = Path("/proc")
QUIET_CORES: Final = 0.15  # what others may take of a core before a round is put off, or counted as disturbed


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: what is measured on one core, everything else on the other."""

    measured: int
    other: int

    @property
    def shared(self) -> bool:
        """Tell whether there is only one core, so that the generator takes time from the server."""
        return self.measured == self.other


def choose_cores() -> Cores:
    """Return the first two cores this process may use, or the only one twice."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[-1] if len(allowed) < 2 else allowed[1])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run, and start children, on one core; a child inherits it, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def process_tree(pid: int) -> list[int]:
    """Return a process and everything below it that is alive."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):  # ended while we looked
            for children in (PROC / str(parent) / "task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process tree, with that of its children that have ended."""
    ticks = 0
    for member in process_tree(pid):
        try:
            fields = (PROC / str(member) / "stat").read_text()
        except OSError:
            continue
        # The name in parentheses may hold anything. utime, stime, cutime and cstime: proc(5).
        ticks += sum(int(field) for field in fields.rpartition(")")[2].split()[11:15])
    return ticks / _TICKS_PER_SECOND


def running_seconds(pid: int) -> float:
    """Return the CPU time of a process' threads that are alive, to the nanosecond: for what takes milliseconds."""
    spent = 0
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            spent += int((task / "schedstat").read_text().split()[0])
        except OSError:  # ended while we looked
            continue
    return spent / 1e9


def pss_mib(pid: int) -> float:
    """Return the proportional set size of a process tree: shared pages count by their share."""
    kib = 0
    for member in process_tree(pid):
        try:
            rollup = (PROC / str(member) / "smaps_rollup").read_text()
        except OSError:
            continue
        kib += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return kib / 1024


def busy_seconds() -> float:
    """Return the CPU time that all processes of the machine have used since it started."""
    fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq = fields[:7]  # proc(5)
    return (user + nice + system + irq + softirq) / _TICKS_PER_SECOND


def own_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended: the generator's, among others."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass
class Gate:
    """Let a measurement begin when the machine is quiet, and tell afterwards whether it stayed so.

    Args:
        patience_seconds: How long one measurement waits at most; 0 measures at once.
    """

    patience_seconds: float
    waited_seconds: float = 0.0
    gave_up: int = 0

    def wait(self, window_seconds: float = 0.25) -> None:
        """Return when nobody used more than `QUIET_CORES` for a moment, or patience is at an end."""
        start = time.monotonic()
        while (waited := time.monotonic() - start) < self.patience_seconds:
            before, began = busy_seconds(), time.monotonic()
            time.sleep(window_seconds)
            if busy_seconds() - before <= QUIET_CORES * (time.monotonic() - began):
                break
        else:
            self.gave_up += self.patience_seconds > 0
        self.waited_seconds += waited


def filesystem_of(path: Path) -> str:
    """Return the type of the file system a path is on, for example `ext4`."""
    best = ("", "unknown")
    for line in (PROC / "self/mounts").read_text().splitlines():
        _device, place, kind, *_rest = line.split()
        if path.resolve().is_relative_to(place) and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def sync_microseconds(directory: Path, times: int = 50) -> float:
    """Return the median time of a 4 KiB append and `fdatasync` in a directory: what a durable commit pays at least."""
    path = directory / "sync-probe"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    path.unlink()
    return sorted(taken)[times // 2] * 1e6
