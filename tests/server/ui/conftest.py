"""Fixtures of the pages' tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.server.database_url import DatabaseLocation
from keyless.server.people.principal import PrincipalKind, Role, RoleGrant
from keyless.server.store.admin import People
from keyless.testing import Clock, FakeIssuer
from tests.server.service import Service
from tests.server.ui.browser import HOST, Browser
from tests.server.ui.provider import CLIENT, SECRET, FakeProvider, Ways


@pytest.fixture
def people(service: Service) -> People:
    """Return the people of a service: alex the admin, and owners of acme and of other."""
    people = People(service.administration)
    people.add("alex", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.ADMIN)])
    people.add("olga", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.OWNER, "acme")])
    people.add("otto", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.OWNER, "other")])
    people.add("vera", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.VIEWER, "acme")])
    return people


def signed_in(service: Service, people: People, name: str) -> Browser:
    """Return a browser in which somebody has just signed in."""
    browser = Browser(service)
    answer = browser.sign_in(people.make_login_code(name).reveal())
    assert answer.status == 303, answer.body
    return browser


@pytest.fixture
def admin(service: Service, people: People) -> Browser:
    """Return the admin's browser."""
    return signed_in(service, people, "alex")


@pytest.fixture
def owner(service: Service, people: People) -> Browser:
    """Return the browser of the owner of acme."""
    return signed_in(service, people, "olga")


@pytest.fixture
def other(service: Service, people: People) -> Browser:
    """Return the browser of the owner of another namespace."""
    return signed_in(service, people, "otto")


@pytest.fixture
def viewer(service: Service, people: People) -> Browser:
    """Return the browser of one who may look into acme."""
    return signed_in(service, people, "vera")


@pytest.fixture
def registry_service(tmp_path: Path, first_start: Path, issuer: FakeIssuer) -> Iterator[Service]:
    """Return a service with the door of a package index."""
    directory = tmp_path / "with-registry"
    shutil.copytree(first_start, directory)
    made = Service(directory, issuer, doors={"pypi": {"url": "https://pypi.example.org"}})
    yield made
    made.administration.close()
    made.app.close()


@pytest.fixture(scope="session")
def provider_process() -> Iterator[FakeProvider]:
    """Return one identity provider for all: its keys take long to make."""
    with FakeProvider(clock=Clock()) as running:
        yield running


@pytest.fixture
def provider(provider_process: FakeProvider) -> FakeProvider:
    """Return the identity provider, well again."""
    provider_process.ways = Ways()
    provider_process.clock = Clock()
    provider_process.behave()
    provider_process.requests.clear()
    return provider_process


@pytest.fixture
def sso(
    location: DatabaseLocation, tmp_path: Path, first_start: Path, issuer: FakeIssuer, provider: FakeProvider
) -> Iterator[Service]:
    """Return a service whose people sign in at the provider."""
    directory = tmp_path / "with-provider"
    shutil.copytree(first_start, directory)
    secret = directory / "login.secret"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")
    record = {
        "issuer": provider.url,
        "client_id": CLIENT,
        "client_secret_file": secret,
        "name": "Acme",
        "network": "loopback",
        "roles_claim": "groups",
        "roles": {
            "platform": ["admin"],
            "ml": ["owner:acme", "viewer:labs"],
            "audit": ["auditor"],
        },
    }
    changes: dict[str, Any] = {} if isinstance(location, Path) else {"database": location}
    made = Service(directory, issuer, pages_url=f"http://{HOST}", sign_in=record, **changes)
    made.add_publisher()
    provider.clock = made.clock
    yield made
    made.administration.close()
    made.app.close()
