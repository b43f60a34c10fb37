"""Fixtures of the pages' tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.server.people.principal import PrincipalKind, Role, RoleGrant
from keyless.server.store.admin import People
from keyless.testing import FakeIssuer
from tests.server.service import Service
from tests.server.ui.browser import Browser


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
