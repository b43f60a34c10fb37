"""Fixtures of the management API's tests."""

from __future__ import annotations

import pytest

from tests.server.api.manager import Manager
from tests.server.service import Service


@pytest.fixture
def manager(service: Service) -> Manager:
    """A service with an admin, an owner and a viewer of acme, an owner of other, and a machine."""
    return Manager(service)
