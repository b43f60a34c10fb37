"""Fixtures of the management API's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.testing import FakeIssuer
from tests.server.api.manager import Manager, add_people
from tests.server.service import Service

Managed = tuple[Path, dict[str, str]]


@pytest.fixture(scope="session")
def managed(tmp_path_factory: pytest.TempPathFactory, first_start: Path, issuer: FakeIssuer) -> Managed:
    """The files of a service with people in it, and their logins; copied, because making them takes long."""
    directory = tmp_path_factory.mktemp("managed") / "service"
    shutil.copytree(first_start, directory)
    service = Service(directory, issuer)
    service.add_publisher()
    logins = add_people(service)
    service.administration.close()
    service.app.close()
    return directory, logins


@pytest.fixture
def manager(tmp_path: Path, managed: Managed, issuer: FakeIssuer) -> Iterator[Manager]:
    """A service with an admin, an owner and a viewer of acme, an owner of other, and a machine."""
    yield from _copy(tmp_path / "service", managed, issuer)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, managed: Managed, issuer: FakeIssuer) -> Iterator[Manager]:
    """The same for tests that change nothing, and prove it."""
    yield from _copy(tmp_path_factory.mktemp("watched") / "service", managed, issuer)


def _copy(directory: Path, managed: Managed, issuer: FakeIssuer) -> Iterator[Manager]:
    shutil.copytree(managed[0], directory)
    service = Service(directory, issuer, fresh=False)
    yield Manager(service, managed[1])
    service.administration.close()
    service.app.close()
