"""Every operation of the API, and a request for each that an admin may make."""

from __future__ import annotations

import re
from typing import Any, cast

from keyless.server.api.app import Parts, operations
from keyless.server.api.operation import Operation
from keyless.server.people.attempts import FailedAttempts
from tests.server.api.manager import Manager

_NOTHING = cast("Any", None)  # the table of operations does not touch what they stand on
OPERATIONS = operations(
    Parts(store=_NOTHING, administration=_NOTHING, verification=_NOTHING, checkpoint_key=None, clock=lambda: 0.0),
    FailedAttempts(clock=lambda: 0.0),
)
PARAMETERS = {
    "name": "owner",
    "login_id": "lgn_unknown",
    "server_name": "hub",
    "issuer_id": "1",
    "jti": "unknown",
    "writer": "w_unknown",
    "sequence": "1",
    "resource": "acme/model",
    "namespace": "acme",
}
BODIES: dict[str, object] = {
    "changePublisher": {"enabled": False},
    "addPerson": {"name": "carol", "roles": []},
    "changePerson": {"enabled": False},
    "makeReadingToken": {"expires_in": 3600},
    "signIn": {"code": "klc-aaaaaaaa-aaaaa-aaaaa-aaaaa-aaaaa"},
    "addIssuer": {"url": "https://ci.example.org"},
    "changeIssuer": {"enabled": False},
    "addResourceServer": {"name": "registry", "audience": "https://r.example.org"},
    "changeResource": {"state": "locked"},
    "changeNamespace": {"state": "locked"},
    "changeLocks": {"everything": True},
    "planPolicy": {"policy": {"version": 1, "namespaces": ["acme"]}},
    "applyPolicy": {"policy": {"version": 1, "namespaces": ["acme"]}, "prune": True},
    "explain": {"resource": "acme/model", "claims": {}, "provider": "github"},
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
