"""Fixtures of the service's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.server.app import TokenService
from keyless.server.database_url import DatabaseLocation
from keyless.server.settings import Settings
from keyless.server.store import open_store
from keyless.testing import Clock, FakeIssuer
from tests.server.service import PUBLIC_URL, Service
from tests.support.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with a migrated database to copy, `migrated`, and one that is reset for each test."""
    with running_postgres() as server:
        server.execute("CREATE DATABASE migrated")
        open_store(server.url("migrated")).close()
        server.execute("CREATE DATABASE shared TEMPLATE migrated")
        server.remember("shared")
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseLocation]:
    """Where a migrated database of each engine is, or a file that is not there yet."""
    if request.param == "sqlite":
        yield tmp_path / "keyless.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    yield server.reset("shared")


@pytest.fixture(scope="session")
def issuer() -> Iterator[FakeIssuer]:
    """One issuer for all: making RSA keys takes longer than all the rest of a test."""
    with FakeIssuer(clock=Clock()) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def other_issuer() -> Iterator[FakeIssuer]:
    """A genuine issuer that nobody configured."""
    with FakeIssuer(clock=Clock()) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files after a service's first start; copied, so that not every test pays for migrating and making keys."""
    directory = tmp_path_factory.mktemp("first-start")
    TokenService(
        Settings(public_url=PUBLIC_URL, database=directory / "keyless.db"), inside_url="http://127.0.0.1:1"
    ).close()
    return directory


@pytest.fixture
def service(location: DatabaseLocation, tmp_path: Path, first_start: Path, issuer: FakeIssuer) -> Iterator[Service]:
    """A service on each engine that trusts one publisher of acme/model."""
    directory = tmp_path / "service"
    shutil.copytree(first_start, directory)
    changes: dict[str, Any] = {} if isinstance(location, Path) else {"database": location}
    service = Service(directory, issuer, **changes)
    service.add_publisher()
    yield service
    service.administration.close()
    service.app.close()
