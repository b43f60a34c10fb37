"""Open-loop load: requests come when they come, whether or not earlier ones were answered.

Poisson arrivals over connections that stay open. A request's time counts from its intended arrival, so a slow answer
is not hidden by the requests it kept from being sent. Prints JSON.

python open_load.py PORT PATH CONNECTIONS SECONDS RATE TOKENS_FILE HEAD TAIL once|round
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import cast

import uvloop

GRACE_SECONDS = 5.0  # for the answers that are still under way at the end


class Load:
    """What the connections share: who is free, what waits, what came of it."""

    def __init__(self) -> None:
        self.free: deque[Connection] = deque()
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.statuses: Counter[int] = Counter()
        self.accepted_ms: list[float] = []
        self.without_retry_after = 0
        self.lost = 0
        self.open = 0

    def arrive(self, due: float, request: bytes) -> None:
        self.open += 1
        if self.free:
            self.free.pop().send(due, request)
        else:
            self.waiting.append((due, request))


class Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._due = 0.0
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._load.free.append(self)

    def send(self, due: float, request: bytes) -> None:
        self._due, self._busy = due, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if not ended:
            return
        lowered = head.lower()
        place = lowered.find(b"content-length: ")
        if len(body) < int(lowered[place + 16 :].split(b"\r\n", 1)[0]):
            return
        load, self._received, self._busy = self._load, b"", False
        status = int(head[9:12])
        load.statuses[status] += 1
        load.open -= 1
        if status == 200:
            load.accepted_ms.append((time.perf_counter() - self._due) * 1e3)
        elif b"retry-after" not in lowered:
            load.without_retry_after += 1
        if load.waiting:
            self.send(*load.waiting.popleft())
        else:
            load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._busy:
            self._load.lost += 1
            self._load.open -= 1
        elif self in self._load.free:
            self._load.free.remove(self)


async def generate(
    port: int, connections: int, seconds: float, rate: float, requests: list[bytes], *, once: bool
) -> dict[str, object]:
    load, loop = Load(), asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
    chance = random.Random(1)
    start = time.perf_counter()
    due, sent, lag = start, 0, 0.0
    while True:
        due += chance.expovariate(rate)
        if due > start + seconds or (once and sent == len(requests)):
            break
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        elif sent % 50 == 0:
            await asyncio.sleep(0)
        lag = max(lag, time.perf_counter() - due)
        load.arrive(due, requests[sent % len(requests)])
        sent += 1
    taken = time.perf_counter() - start
    ends_at = time.perf_counter() + GRACE_SECONDS
    while load.open and time.perf_counter() < ends_at:  # noqa: ASYNC110 - counted down by many
        await asyncio.sleep(0.01)
    times = sorted(load.accepted_ms)
    return {
        "seconds": taken,
        "sent": sent,
        "statuses": {str(status): count for status, count in load.statuses.items()},
        "without_retry_after": load.without_retry_after,
        "lost": load.lost,
        "unanswered": load.open,
        "p50_ms": times[len(times) // 2] if times else None,
        "p99_ms": times[len(times) * 99 // 100] if times else None,
        "lag_ms": lag * 1e3,
    }


def main(
    port: int, path: str, connections: int, seconds: float, rate: float, tokens: Path, head: str, tail: str, mode: str
) -> None:
    requests = []
    for token in tokens.read_text().split():
        body = f"{head}{token}{tail}".encode()
        lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/x-www-form-urlencoded", "", ""]
        requests.append("\r\n".join(lines).encode() + body)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(generate(port, connections, seconds, rate, requests, once=mode == "once"))))


if __name__ == "__main__":
    port_, path_, connections_, seconds_, rate_, tokens_, *texts = sys.argv[1:]
    main(int(port_), path_, int(connections_), float(seconds_), float(rate_), Path(tokens_), *texts)
