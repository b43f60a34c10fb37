"""A load generator for machines without wrk: the same order, the same report, less of it per second.

python own_load.py PORT PATH CONNECTIONS SECONDS TOKENS_FILE HEAD TAIL once|round
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast


class Load:
    """What all connections share: the bodies to send and what came of them."""

    def __init__(self, requests: list[bytes], *, once: bool) -> None:
        self._requests = requests
        self._once = once
        self.sent = 0
        self.stopping = asyncio.Event()
        self.exhausted = False
        self.milliseconds: list[float] = []
        self.failed: Counter[str] = Counter(status=0, connect=0, read=0, write=0, timeout=0)

    def next_request(self) -> bytes | None:
        if self._once and self.sent == len(self._requests):
            self.exhausted = True
            self.stopping.set()
        if self.stopping.is_set():
            return None
        request = self._requests[self.sent % len(self._requests)]
        self.sent += 1
        return request


class Connection(asyncio.Protocol):
    """Send one request after the other, each when the answer before it is complete."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by descent
        self._send()

    def _send(self) -> None:
        request = self._load.next_request()
        if self._transport is None:
            return
        if request is None:
            self._transport.close()
            self._transport = None
            return
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if not ended:
            return
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), None)
        if length is None or len(body) < length:
            self._load.failed["read"] += length is None
            return
        self._received = b""
        self._load.milliseconds.append((time.perf_counter() - self._began) * 1e3)
        self._load.failed["status"] += head.split(b" ", 2)[1] != b"200"
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._load.failed["read"] += self._transport is not None


async def generate(port: int, connections: int, seconds: float, load: Load) -> float:
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(load.stopping.wait(), start + seconds - time.perf_counter())
    load.stopping.set()
    taken = time.perf_counter() - start
    await asyncio.sleep(0.2)  # the last answers; they are not timed out of the figures, only out of the wall rate
    return taken


def main(port: int, path: str, connections: int, seconds: float, tokens: Path, head: str, tail: str, mode: str) -> None:
    requests = []
    for token in tokens.read_text().split():
        body = f"{head}{token}{tail}".encode()
        requests.append(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
    load = Load(requests, once=mode == "once")
    try:
        import uvloop  # noqa: PLC0415  # faster where it is installed, as it is beside the service
    except ImportError:
        taken = asyncio.run(generate(port, connections, seconds, load))
    else:
        taken = uvloop.run(generate(port, connections, seconds, load))
    order = sorted(load.milliseconds) or [0.0]
    report = {
        "answered": len(load.milliseconds),
        "sent": load.sent,
        "exhausted": int(load.exhausted),
        "seconds": taken,
        "p50_ms": order[len(order) // 2],
        "p99_ms": order[len(order) * 99 // 100],
        "failed": load.failed,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    _, *words = sys.argv
    main(int(words[0]), words[1], int(words[2]), float(words[3]), Path(words[4]), words[5], words[6], words[7])
