"""Fixtures of the doors' tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.testing import FakeIssuer
from tests.server.doors.registries import Registries


@pytest.fixture
def registries(tmp_path: Path, first_start: Path, issuer: FakeIssuer) -> Iterator[Registries]:
    """A service with the doors of package registries that trusts nobody yet."""
    directory = tmp_path / "service"
    shutil.copytree(first_start, directory)
    service = Registries(directory, issuer)
    yield service
    service.administration.close()
    service.app.close()
