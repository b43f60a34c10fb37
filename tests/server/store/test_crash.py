"""Killing a process while it commits, and counting what is left (issue: durability, not luck)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keyless.server.store import open_store
from tests.server.store.world import World

ROUNDS = int(os.environ.get("KEYLESS_CRASH_ROUNDS", "3"))

CHILD = """
import sys
from pathlib import Path
from tests.server.store.world import World
from keyless.server.store import open_store, new_jti
import dataclasses, secrets, time

world = World.__new__(World)
from tests.server.store import world as module
from itertools import count
world.clock = time.time
world.store = open_store(sys.argv[1])
world.publisher = world.store.publishers(module.parse_resource("acme/model"), 1)[0]
world.numbers = count()
while True:
    batch = [world.grant(jti=new_jti(time.time()), replay_key=secrets.token_bytes(32)) for _ in range(8)]
    world.store.commit(batch)
    # What a client would hold: written out only after the commit returned.
    sys.stdout.write("".join(f"{grant.jti}\\n" for grant in batch))
    sys.stdout.flush()
"""


@pytest.mark.slow
def test_every_token_that_was_given_out_is_whole_after_a_kill(tmp_path: Path) -> None:
    """D14, T111: SIGKILL at any moment; each delivered token has one claim, one token row and one audit row."""
    world = World(tmp_path / "keyless.db")
    held: list[str] = []
    rng = random.Random(20261122)
    for _ in range(ROUNDS):
        child = subprocess.Popen([sys.executable, "-c", CHILD, world.store.path], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        held.append(child.stdout.readline().strip())  # it is at work
        time.sleep(rng.uniform(0.0, 0.15))
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.stdout.close()
        child.wait()
        held += [line for line in rest.splitlines(keepends=False) if len(line) == len(held[0])]

    with open_store(world.store.path) as store:
        report = store.verify_chain()
    assert report.intact
    assert len(held) > 8 * ROUNDS / 2
    claims = dict(world.rows("SELECT jti, count(*) FROM replay_use GROUP BY jti"))
    tokens = dict(world.rows("SELECT jti, count(*) FROM token GROUP BY jti"))
    grants = dict(world.rows("SELECT jti, count(*) FROM audit_event WHERE kind = 'token.granted' GROUP BY jti"))
    assert claims == tokens == grants
    assert {tokens[jti] for jti in held} == {1}
    world.close()
