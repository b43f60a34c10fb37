"""`POST /resources/state` and `POST /resources/created`: what a hub asks and tells of its resources (T93, T101).

On the inside listener only, with the resource server's credential.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from keyless.errors import RequestError, ResourceSyntaxError
from keyless.resource import Resource, parse_resource
from keyless.server.doors.errors import ErrorProfile, send_error
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body, send_json
from keyless.server.doors.resource_server import ResourceServerGate, refuse_stranger
from keyless.server.services.token_request import MAX_BODY_BYTES, read_members

Answering = Callable[[Resource, str], dict[str, object]]


class Resources(Protocol):
    """What is asked of the store."""

    def state(self, resource: Resource) -> tuple[bool, bool]:
        """Tell whether a resource is for publishers only, and whether it is locked."""

    def note_existence(self, resource: Resource, *, actor: str, audience: str) -> bool:
        """Note that a resource of this audience came into being; false when nobody waited for it."""


class ResourceDoor:
    """Read which resource a resource server means, and answer.

    Args:
        answering: Makes the answer from the resource and the resource server's audience. Blocks.
        gate: Knows resource servers.
        profile: The codes of errors.
    """

    def __init__(self, answering: Answering, gate: ResourceServerGate, *, profile: ErrorProfile) -> None:
        self._answering = answering
        self._gate = gate
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one POST."""
        caller = caller_of(scope)
        try:
            body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)
            audience = await self._gate.admit(scope, caller)
            if audience is None:
                await refuse_stranger(send, request_id=caller.request_id)
                return
            resource = _resource(read_members(header(scope, b"content-type"), body).get("resource"))
            content = await asyncio.to_thread(self._answering, resource, audience)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await send_error(send, error, self._profile, audience="", request_id=caller.request_id)
            return
        await send_json(send, 200, content, request_id=caller.request_id)


def state_of(resources: Resources) -> Answering:
    """Return what answers `POST /resources/state`."""

    def answer(resource: Resource, _audience: str) -> dict[str, object]:
        publishers_only, locked = resources.state(resource)
        return {"resource": str(resource), "publishers_only": publishers_only, "locked": locked}

    return answer


def created(resources: Resources) -> Answering:
    """Return what answers `POST /resources/created`."""

    def answer(resource: Resource, audience: str) -> dict[str, object]:
        awaited = resources.note_existence(resource, actor=f"resource-server:{audience}", audience=audience)
        return {"resource": str(resource), "awaited": awaited}

    return answer


def _resource(text: str | None) -> Resource:
    if not text:
        raise RequestError("the parameter resource is missing")
    try:
        return parse_resource(text)
    except ResourceSyntaxError as error:
        raise RequestError(f"the parameter resource is none: {error}") from None
