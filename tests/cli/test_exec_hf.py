"""`keyless exec` around the real hf, with tokens that live half a minute (D23)."""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from keyless.demo.children import run_child
from keyless.demo.stage import Stage
from tests.journeys.conftest import hf, stage
from tests.journeys.job import folder, grants, trust

__all__ = ["hf", "stage"]  # fixtures of the journeys

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

LIFETIME_SECONDS = 30
CALLS = """
import os, sys, time
from huggingface_hub import HfApi
from huggingface_hub.utils import build_hf_headers
api, seen, until = HfApi(), set(), time.monotonic() + 3 * 30 + 3
while time.monotonic() < until:
    name = api.whoami()["name"]
    seen.add(build_hf_headers()["authorization"])
    api.create_repo("acme/patient", exist_ok=True)
    time.sleep(2)
print(name, len(seen))
"""
# One command after the other, spread over the first lifetimes; the Python process outlives them all.
SCRIPT = """
set -e
"$PY" -c "$CALLS" > "$OUT/calls.txt" & calls=$!
for n in 1 2 3 4 5 6; do
    echo $n > "$LOCAL/step.txt"
    "$HF" upload acme/patient "$LOCAL" . > /dev/null
    sleep 11
done
wait $calls
"""


def test_commands_outlive_their_tokens(stage: Stage, tmp_path: Path) -> None:
    """Must hold: six hf commands and one Python process over three lifetimes finish; then all tokens are revoked."""
    publisher = trust(stage, "acme/patient")
    with closing(sqlite3.connect(stage.folder / "keyless.db")) as database, database:
        # Administrators are kept from lives this short.
        database.execute("UPDATE publisher SET ttl_seconds = ? WHERE id = ?", (LIFETIME_SECONDS, publisher))
    local = folder(stage, "patient", {"README.md": b"# Patient\n"})
    environment = stage.step_environment(
        stage.github.first,
        "acme/patient",
        HF=str(stage.hf),
        PY=str(stage.hf.with_name("python")),
        CALLS=CALLS,
        LOCAL=str(local),
        OUT=str(tmp_path),
        RUNNER_TEMP=str(tmp_path),
    )
    done = run_child(
        [sys.executable, "-m", "keyless", "exec", "--", "sh", "-c", SCRIPT], environment, stage.folder, seconds=200
    )

    assert done.status == 0, done.output
    assert "end after 30 seconds" in done.output
    name, tokens = (tmp_path / "calls.txt").read_text().split()
    assert name == "acme"
    assert int(tokens) >= 3
    assert list(tmp_path.iterdir()) == [tmp_path / "calls.txt"]
    with closing(sqlite3.connect(stage.folder / "keyless.db")) as database:
        rows = database.execute("SELECT expires_at, revoked_at FROM token WHERE publisher_id = ?", (publisher,))
        issued = rows.fetchall()
    assert len(issued) == len(grants(stage, "models/acme/patient")) >= 3
    assert [expires_at for expires_at, revoked_at in issued if revoked_at is None and expires_at > time.time()] == []
    assert any(revoked_at is not None for _, revoked_at in issued)
