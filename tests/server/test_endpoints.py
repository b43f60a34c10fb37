"""The endpoints that the reference names are those that the service has."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyless.testing import FakeIssuer
from scripts.docs.api import INSIDE, PUBLIC
from tests.server.service import Service


@pytest.mark.parametrize("listener, documented", [("public", PUBLIC), ("inside", INSIDE)])
def test_each_endpoint_is_documented_and_there(
    listener: str, documented: dict[str, object], issuer: FakeIssuer, tmp_path: Path
) -> None:
    """D19: two listeners, and nothing on either that nobody was told of."""
    service = Service(tmp_path, issuer)
    router = getattr(service.app, listener)
    there = {f"{method} {path}" for path, methods in router._doors.items() for method in methods}

    assert there == documented.keys()
