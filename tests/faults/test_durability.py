"""What a client holds is on the disk: proven by watching the system calls, and by pulling the plug."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from keyless.server.audit.verify import verify_chain
from keyless.testing import FakeIssuer, unverified_claims
from tests.support.running import RunningService
from tests.support.strace import read_calls

EXCHANGES = int(os.environ.get("KEYLESS_CRASH_EXCHANGES", "500"))
WORKERS = 8


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    """An issuer that outlives the service under test."""
    with FakeIssuer() as issuer:
        yield issuer


def jti_of(access_token: str) -> str:
    """The id in a token that the client holds."""
    return str(unverified_claims(access_token.removeprefix("kl_"))["jti"])


@pytest.mark.fault
@pytest.mark.timeout(180)
def test_each_answer_follows_a_sync_that_covers_its_rows(tmp_path: Path, issuer: FakeIssuer) -> None:
    """D14, D4: 50 exchanges, eight at once: rows written to the log, then a completed sync, then the 200."""
    strace = shutil.which("strace")
    assert strace is not None, "this test needs strace (a Debian package)"
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"
    wrapper = (strace, "-f", "-qq", "-y", "-s", "200000", "-e", calls, "-e", "signal=none", "-o", str(trace))
    service = RunningService(tmp_path, issuer, wrapper=wrapper)
    service.start()
    tokens: list[str] = []

    def exchange(count: int) -> None:
        for _ in range(count):
            status, answer = service.exchange()
            assert status == 200
            tokens.append(str(answer["access_token"]))

    threads = [threading.Thread(target=exchange, args=(count,)) for count in (7, 7, 6, 6, 6, 6, 6, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.stop()

    seen = read_calls(trace)
    writes = [call for call in seen if call.name == "pwrite64" and "keyless.db-wal" in call.text[:200]]
    syncs = [
        call
        for call in seen
        if call.name in {"fdatasync", "fsync"} and "keyless.db-wal" in call.text and call.succeeded
    ]
    sends = [call for call in seen if call.name in {"write", "writev", "sendto", "sendmsg"}]
    assert len(tokens) == 50
    for token in tokens:
        answer = next(call for call in sends if token in call.text)  # the 200's body
        written = min(call.ended for call in writes if jti_of(token) in call.text)
        covering = [sync for sync in syncs if sync.began > written and sync.ended < answer.began]
        assert covering, "an answer left before a sync that covers its rows"


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_killed_service_never_loses_what_a_client_holds(tmp_path: Path, issuer: FakeIssuer) -> None:
    """D14, T111: SIGKILL at random moments of 500 exchanges; each token held has one claim, one row, one audit row."""
    service = RunningService(tmp_path, issuer)
    service.start()
    held: list[str] = []
    running = threading.Event()
    running.set()
    random_source = random.Random(20261122)

    def exchange() -> None:
        while running.is_set() and len(held) < EXCHANGES:
            try:
                status, answer = service.exchange()
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.02)  # killed: the token, if there was one, was not delivered
                continue
            if status == 200:
                held.append(str(answer["access_token"]))

    threads = [threading.Thread(target=exchange) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    kills = 0
    try:
        while len(held) < EXCHANGES and any(thread.is_alive() for thread in threads):
            time.sleep(random_source.uniform(0.005, 0.06))
            service.kill()
            kills += 1
            service.start()
    finally:
        running.clear()
        for thread in threads:
            thread.join()
        service.stop()

    assert kills >= 5
    with closing(sqlite3.connect(service.database)) as connection:
        for token in held:
            jti = jti_of(token)
            counts = [
                connection.execute(query, (jti,)).fetchone()[0]
                for query in (
                    "SELECT count(*) FROM replay_use WHERE jti = ?",
                    "SELECT count(*) FROM token WHERE jti = ? AND revoked_at IS NULL",
                    "SELECT count(*) FROM audit_event WHERE jti = ? AND kind = 'token.granted'",
                )
            ]
            assert counts == [1, 1, 1]
        # And the other way round: no row stands alone.
        tokens, claims, grants = (
            connection.execute(query).fetchone()[0]
            for query in (
                "SELECT count(*) FROM token",
                "SELECT count(*) FROM replay_use",
                "SELECT count(*) FROM audit_event WHERE kind = 'token.granted'",
            )
        )
        assert tokens == claims == grants >= len(held)
        assert verify_chain(connection).intact
