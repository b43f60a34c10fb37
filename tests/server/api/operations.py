"""Every operation of the API, and a request for each that an admin may make."""

from __future__ import annotations

import re

from keyless.server.api.app import operations
from keyless.server.api.operation import Operation
from keyless.server.people.attempts import FailedAttempts
from tests.server.api.manager import Manager

OPERATIONS = operations(FailedAttempts(clock=lambda: 0.0))
PARAMETERS = {"name": "owner", "login_id": "lgn_unknown"}
BODIES: dict[str, object] = {
    "changePublisher": {"enabled": False},
    "addPerson": {"name": "carol", "roles": []},
    "changePerson": {"enabled": False},
    "makeReadingToken": {"expires_in": 3600},
    "signIn": {"code": "klc-aaaaaaaa-aaaaa-aaaaa-aaaaa-aaaaa"},
}


def path_of(operation: Operation, manager: Manager) -> str:
    """Return a path with parameters that name something."""
    known = {**PARAMETERS, "publisher_id": manager.publisher.id}
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: known[found[1]], operation.path)


def body_of(operation: Operation, manager: Manager) -> object:
    """Return a body that is good, or `None` where there is none."""
    if operation.body is None:
        return None
    return manager.description() if operation.id == "addPublisher" else BODIES[operation.id]
