from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.running import RunningHub, serve_hub


@pytest.fixture(scope="package")
def running_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with serve_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def hub(running_hub: RunningHub) -> Iterator[RunningHub]:
    """One server for all tests of the room; each test uses a repository of its own."""
    yield running_hub
    running_hub.verifier.revoked.clear()
    running_hub.verifier.is_down = False


_numbers = iter(range(10**9))


@pytest.fixture
def name() -> str:
    """A namespace that no other test uses."""
    return f"acme{next(_numbers)}"
