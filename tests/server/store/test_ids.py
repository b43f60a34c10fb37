"""Ids are unique, and those that an index holds stand side by side."""

from __future__ import annotations

import os
import re
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from keyless.server.store import new_jti
from tests.server.store.world import START, World

PAGE_BYTES = 4096


def test_token_ids_of_one_second_are_in_the_order_they_were_made() -> None:
    """D17: thousands a second are written into the same few pages."""
    ids = [new_jti(START) for _ in range(1000)]

    steps = [(int(b[12:16], 16) - int(a[12:16], 16)) % 0x10000 for a, b in pairwise(ids)]
    assert steps == [1] * 999
    assert {one[:12] for one in ids} == {f"{START * 1000:012x}"}


def test_token_ids_are_unique_without_the_number() -> None:
    """D14: two processes may count alike."""
    assert len({new_jti(START)[16:] for _ in range(10_000)}) == 10_000
    assert re.fullmatch("[0-9a-f]{32}", new_jti(START))


def test_a_batch_on_sqlite_writes_hardly_more_pages_than_grants(tmp_path: Path) -> None:
    """D17: a claim lands anywhere in its index, because its key is a hash; nothing else of a grant does."""
    world = World(tmp_path / "keyless.db")
    with closing(world.store.database.connect()) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM token").fetchall()  # holds the log where it is
        for _ in range(60):
            world.store.commit([world.grant(jti=new_jti(START)) for _ in range(50)])
        log = tmp_path / "keyless.db-wal"
        before = log.stat().st_size
        world.store.commit([world.grant(jti=new_jti(START)) for _ in range(50)])
        pages = (log.stat().st_size - before) / PAGE_BYTES
        reader.execute("ROLLBACK")
    world.close()

    assert pages < 50 + 40


def test_a_forked_worker_hands_out_ids_of_its_own() -> None:
    """T117: the random part that was asked of the system beforehand is not inherited."""
    new_jti(0)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write_end, "\n".join(new_jti(0)[16:] for _ in range(300)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        theirs = pipe.read().split("\n")

    assert len(set(theirs)) == 300
    assert not set(theirs) & {new_jti(0)[16:] for _ in range(600)}
