"""What the service counts, in Prometheus' text format: plain numbers in memory that all workers of a machine share.

Every series is declared before the service starts, so no caller can make one more (bounded labels). A worker writes its
own numbers only, without a lock; whoever is asked adds up those of all workers.
"""

from __future__ import annotations

import asyncio
import math
import mmap
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import sub
from typing import Final

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
MAX_CELLS: Final = 1024
OTHER: Final = "other"
SECONDS: Final = (
    0.00005,
    0.0001,
    0.0002,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

GATHER_SECONDS: Final = 0.05  # how long the times of exchanges gather before they are counted
Moments = tuple[float, float, float, float, float]
STEPS: Final = ("read", "verify", "match", "sign", "commit", "total")
REASONS: Final = (
    *("granted", "request_malformed", "body_too_large", "unsupported_grant_type", "resource_syntax"),
    *("token_malformed", "token_rejected", "issuer_unknown", "key_unknown", "signature_invalid", "claim_rejected"),
    *("claim_missing", "claim_invalid", "audience_mismatch", "token_expired", "token_not_yet_valid", "token_revoked"),
    *("no_matching_publisher", "token_replayed", "too_many_tokens", "rate_limited", "locked", "unavailable", "shed"),
    *("internal_error", OTHER),
)


class Cells:
    """Numbers of all workers, in memory that a fork shares. Worker `index` writes row `index`."""

    def __init__(self, workers: int = 1) -> None:
        self._memory = mmap.mmap(-1, workers * MAX_CELLS * 8)
        self._all = memoryview(self._memory).cast("d")
        self._workers = workers
        self._used = 0
        self.row = self._all[:MAX_CELLS]

    def become(self, index: int) -> None:
        """Write as this worker from now on."""
        self.row = self._all[index * MAX_CELLS : (index + 1) * MAX_CELLS]

    def take(self, count: int) -> int:
        """Return the first of so many cells of one's own; only before anything is written."""
        first, self._used = self._used, self._used + count
        if self._used > MAX_CELLS:
            raise ValueError("there are more series than MAX_CELLS")
        return first

    def total(self, cell: int) -> float:
        """Return the sum over all workers."""
        return sum(self._all[cell::MAX_CELLS])


class Counter:
    """Count events by one label of known values; an unknown value counts as `other`."""

    def __init__(self, cells: Cells, name: str, text: str, *, label: str = "", values: Sequence[str] = ("",)) -> None:
        self.name, self.text, self._label = name, text, label
        self._cells = cells
        first = cells.take(len(values))
        self._cell = {value: first + number for number, value in enumerate(values)}
        self._other = self._cell.get(OTHER, first)

    def add(self, value: str = "", amount: float = 1) -> None:
        """Count one event, or several."""
        self._cells.row[self._cell.get(value, self._other)] += amount

    def lines(self) -> Iterator[str]:
        """Return the exposition."""
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} counter"
        for value, cell in self._cell.items():
            labels = f'{{{self._label}="{value}"}}' if self._label else ""
            yield f"{self.name}{labels} {self._cells.total(cell):g}"


class Histogram:
    """Count values by size, by one label of known values."""

    def __init__(
        self,
        cells: Cells,
        name: str,
        text: str,
        *,
        bounds: Sequence[float],
        label: str = "",
        values: Sequence[str] = ("",),
    ) -> None:
        self.name, self.text, self._label = name, text, label
        self._cells = cells
        self._bounds = tuple(bounds)
        self._width = len(self._bounds) + 2  # one for what is above all bounds, one for the sum
        first = cells.take(len(values) * self._width)
        self._first = {value: first + number * self._width for number, value in enumerate(values)}

    def observe(self, amount: float, value: str = "") -> None:
        """Count one value."""
        first = self._first[value]
        row = self._cells.row
        row[first + bisect_left(self._bounds, amount)] += 1
        row[first + self._width - 1] += amount

    def observe_all(self, amounts: Sequence[float], value: str = "") -> None:
        """Count many values, cheaper than one by one."""
        first, row, below = self._first[value], self._cells.row, 0
        in_order = sorted(amounts)
        for number, bound in enumerate(self._bounds):
            upto = bisect_right(in_order, bound)
            row[first + number] += upto - below
            if (below := upto) == len(in_order):
                break
        row[first + self._width - 2] += len(in_order) - below
        row[first + self._width - 1] += sum(in_order)

    def lines(self) -> Iterator[str]:
        """Return the exposition."""
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} histogram"
        for value, first in self._first.items():
            label = f'{self._label}="{value}",' if self._label else ""
            counts = list(accumulate(self._cells.total(first + number) for number in range(self._width - 1)))
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                yield f'{self.name}_bucket{{{label}le="{bound}"}} {count:g}'
            braces = f"{{{label[:-1]}}}" if label else ""
            yield f"{self.name}_sum{braces} {self._cells.total(first + self._width - 1):.9g}"
            yield f"{self.name}_count{braces} {counts[-1]:g}"


class Metrics:
    """Everything the service counts.

    Args:
        workers: How many processes will share the numbers.
    """

    def __init__(self, workers: int = 1) -> None:
        cells = self.cells = Cells(workers)
        self.exchanges = Counter(
            cells, "keyless_exchanges_total", "Token requests by what became of them.", label="reason", values=REASONS
        )
        self.steps = Histogram(
            cells,
            "keyless_exchange_seconds",
            "Time of each step of a granted exchange; commit includes the wait for company and for the disk.",
            bounds=SECONDS,
            label="step",
            values=STEPS,
        )
        self.batches = Histogram(
            cells, "keyless_commit_batch_size", "Exchanges that shared one transaction.", bounds=SIZES
        )
        self.queue_wait = Histogram(
            cells, "keyless_queue_wait_seconds", "Time between a request's arrival and its turn.", bounds=SECONDS
        )
        self.limited = Counter(
            cells,
            "keyless_rate_limited_total",
            "Requests over a rate limit.",
            label="by",
            values=("address", "identity"),
        )
        self.key_fetches = Counter(
            cells,
            "keyless_issuer_document_fetches_total",
            "Requests for issuers' documents.",
            label="outcome",
            values=("ok", "failed"),
        )
        self.webhooks = Counter(
            cells,
            "keyless_webhook_deliveries_total",
            "Attempts to deliver an event to a webhook.",
            label="outcome",
            values=("ok", "failed", "given_up"),
        )
        self._families: list[Counter | Histogram] = [
            *(self.exchanges, self.steps, self.batches, self.queue_wait, self.limited, self.key_fetches, self.webhooks),
        ]
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._took: list[Moments] = []

    def exchange_took(self, moments: Moments) -> None:
        """Count the steps of a granted exchange; from inside an event loop, within `GATHER_SECONDS`.

        Args:
            moments: When it began, was verified, matched, signed and committed; of `time.perf_counter`.
        """
        self._took.append(moments)
        if len(self._took) == 1:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.count_gathered)

    def count_gathered(self) -> None:
        """Count what has gathered."""
        took, self._took = self._took, []
        if not took:
            return
        observe = self.steps.observe_all
        began, verified, matched, signed, committed = zip(*took, strict=True)
        for step, start, end in (
            ("verify", began, verified),
            ("match", verified, matched),
            ("sign", matched, signed),
            ("commit", signed, committed),
            ("total", began, committed),
        ):
            observe(list(map(sub, end, start)), step)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show what `read` returns when somebody looks; NaN when it cannot be told then."""
        self._gauges[name] = (text, read)

    def text(self) -> bytes:
        """Return the exposition of everything."""
        lines = [line for family in self._families for line in family.lines()]
        for name, (text, read) in self._gauges.items():
            try:
                value = read()
            except Exception:  # noqa: BLE001 - one number that cannot be had hides no other
                value = float("nan")
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {_number(value)}"]
        return ("\n".join(lines) + "\n").encode("utf-8")


def process_gauges() -> Mapping[str, tuple[str, Callable[[], float]]]:
    """Return what the kernel says of this process, where it says so."""
    return {
        "process_open_fds": ("Open file descriptors.", lambda: float(len(os.listdir("/proc/self/fd")))),  # noqa: PTH208
        "process_resident_memory_bytes": ("Resident memory.", _resident_bytes),
    }


def _resident_bytes() -> float:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - no path arithmetic here
        return float(file.read().split()[1]) * mmap.PAGESIZE


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:g}"
