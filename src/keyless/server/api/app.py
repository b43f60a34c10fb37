"""The API as one ASGI application: the table of operations, and the paths made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.routing import Route, Router

from keyless.jose.jwk import PublicKey
from keyless.server.api import people, publishers, resource_servers, resources
from keyless.server.api.audit import Audit
from keyless.server.api.document import OPERATION as DOCUMENT
from keyless.server.api.endpoint import Endpoint, send_problem
from keyless.server.api.explain import Explain
from keyless.server.api.gate import Gate
from keyless.server.api.issuers import Issuers
from keyless.server.api.login import Logins
from keyless.server.api.operation import Operation
from keyless.server.api.policy import Policies
from keyless.server.api.problems import not_found
from keyless.server.api.signing_keys import SigningKeyList
from keyless.server.api.tokens import Tokens
from keyless.server.doors.http import Door, Receive, Scope, Send, caller_of
from keyless.server.people.attempts import FailedAttempts
from keyless.server.services.verification import IdTokenVerification
from keyless.server.store import Store
from keyless.server.store.admin import Administration, People

PREFIX: Final = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the API stands on."""

    store: Store
    administration: Administration
    verification: IdTokenVerification
    checkpoint_key: PublicKey | None
    clock: Callable[[], float]


def create_api(parts: Parts) -> Door:
    """Return the API, to be mounted at `PREFIX` of the inside listener."""
    attempts = FailedAttempts(clock=parts.clock)
    gate = Gate(People(parts.administration), attempts)
    by_path: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations(parts, attempts):
        by_path[operation.path].append(operation)
    routes = [
        Route(PREFIX + path, Endpoint(found, gate, parts.administration), include_in_schema=False)
        for path, found in by_path.items()
    ]
    return Router(routes, redirect_slashes=False, default=_nothing_here)


def operations(parts: Parts, attempts: FailedAttempts) -> tuple[Operation, ...]:
    """Return all operations."""
    return (
        DOCUMENT,
        *Logins(attempts).operations(),
        *people.OPERATIONS,
        *publishers.OPERATIONS,
        *resources.OPERATIONS,
        *Issuers(parts.store).operations(),
        *resource_servers.OPERATIONS,
        *Tokens(parts.store).operations(),
        *Audit(parts.store, parts.checkpoint_key).operations(),
        *SigningKeyList(parts.store).operations(),
        *Policies(clock=parts.clock).operations(),
        *Explain(parts.store, parts.verification, clock=parts.clock).operations(),
    )


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    if scope["type"] == "http":
        await send_problem(send, not_found(), request_id=caller_of(scope).request_id)
