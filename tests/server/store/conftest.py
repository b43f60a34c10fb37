from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.server.database_url import DatabaseLocation
from tests.server.store.world import World


@pytest.fixture
def world(location: DatabaseLocation) -> Iterator[World]:
    """A store on each engine."""
    made = World(location)
    yield made
    made.close()


@pytest.fixture
def sqlite_world(tmp_path: Path) -> Iterator[World]:
    """A store on SQLite, for what only its file can show."""
    made = World(tmp_path / "keyless.db")
    yield made
    made.close()
