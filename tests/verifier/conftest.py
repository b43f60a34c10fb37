from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.verifier.endpoint import Endpoint, serve_endpoint
from tests.verifier.tokens import Mint


@pytest.fixture(scope="session")
def mint() -> Mint:
    return Mint()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve_endpoint() as running:
        yield running
