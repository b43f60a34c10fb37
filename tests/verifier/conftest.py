from __future__ import annotations

import pytest

from tests.verifier.tokens import Mint


@pytest.fixture(scope="session")
def mint() -> Mint:
    return Mint()
