"""What an operation is: method and path, who may call it, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from pydantic import BaseModel

from keyless.server.api.call import Answer, Call


class Access(Enum):
    """Say who may call an operation. Which namespaces are whose, the operation itself looks at."""

    OPEN = auto()  # nobody has to be known
    READ = auto()  # any login, a machine's reading token included
    CHANGE = auto()  # a person's short login (D13)
    ADMIN_READ = auto()  # any login that may read everything
    ADMIN = auto()  # a person's short login, of an admin


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Describe one operation.

    Attributes:
        id: Its `operationId` in the OpenAPI document.
        method: HTTP method.
        path: Below `/api/v1`, with `{parameters}`; `{name:path}` takes slashes.
        handler: Does it, in a worker thread.
        access: Who may.
        body: The model of the JSON body, or `None` when it takes none.
        query: The model of the query, or `None`.
        creates: It takes an `Idempotency-Key`.
        max_body_bytes: Limit of the body.
    """

    id: str
    method: str
    path: str
    handler: Callable[[Call], Answer]
    access: Access
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    creates: bool = False
    max_body_bytes: int = 64 * 1024
