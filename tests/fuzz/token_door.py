"""Send bodies to the token door of a service in a process of its own, and look at what is left."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from keyless.testing import FakeIssuer
from tests.fuzz.bodies import Bodies
from tests.support.running import RunningService

DOCUMENTED = {200, 400, 413, 429}
MAX_GROWTH_KIB = 16 * 1024  # caches fill; a leak of a hundred bytes a body would be as much by itself in 100,000

# One caller sends more than anybody may: what is tried here is what bodies do, not how many.
UNLIMITED = "max_live_tokens = 0\nexchanges_per_minute_by_address = 0\nexchanges_per_minute_by_identity = 0\n"


@dataclass
class Report:
    """What became of the bodies."""

    statuses: Counter[int] = field(default_factory=Counter)
    odd: list[tuple[int, str, bytes]] = field(default_factory=list)
    memory_kib: list[int] = field(default_factory=list)
    log: str = ""

    @property
    def problems(self) -> list[str]:
        """Return what is wrong, nothing when all is well."""
        found = [f"status {status} for {kind!r} {body[:300]!r}" for status, kind, body in self.odd[:5]]
        if self.log:
            found.append(f"the log of warnings and errors is not empty: {self.log[:2000]}")
        if self.growth_kib > MAX_GROWTH_KIB:
            found.append(f"memory grew by {self.growth_kib} KiB after the first tenth: {self.memory_kib}")
        return found

    @property
    def growth_kib(self) -> int:
        """Return by how much resident memory grew after the first tenth of the bodies."""
        return self.memory_kib[-1] - self.memory_kib[1]


def run(count: int, directory: Path, *, seed: int) -> Report:
    """Send so many bodies, each answered before the next.

    Args:
        count: At least ten.
        directory: An empty folder for the service.
        seed: Of the bodies.
    """
    report = Report()
    with FakeIssuer() as issuer:
        service = RunningService(directory, issuer, settings=UNLIMITED)
        service.start()
        assert service.exchange()[0] == 200  # the keys are known, so no answer depends on fetching them
        log = directory / "serve.log"
        while not (before := log.read_text()).endswith("keyless: ready\n"):  # it answers a moment before it says so
            time.sleep(0.01)
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        for number, (kind, body) in enumerate(islice(Bodies(seed, service.mint), count)):
            if number % (count // 10) == 0:
                report.memory_kib.append(_resident_kib(service))
            headers = {"Content-Type": kind} if kind else {}
            try:
                connection.request("POST", "/oauth/token", body, headers)
                with connection.getresponse() as answer:
                    answer.read()
                    status = answer.status
            except (http.client.HTTPException, OSError):
                # The service hung up on a body that is too large, after its answer or instead of it.
                connection.close()
                status = 413 if len(body) > 65_536 else 0
            report.statuses[status] += 1
            if status not in DOCUMENTED:
                report.odd.append((status, kind, body))
        connection.close()
        report.memory_kib.append(_resident_kib(service))
        assert service.exchange()[0] == 200
        service.stop()
        report.log = log.read_text()[len(before) :]
    return report


def _resident_kib(service: RunningService) -> int:
    status = Path(f"/proc/{service.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
