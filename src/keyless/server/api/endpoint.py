"""From ASGI messages to an operation and back: one object for each path."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from keyless.errors import MalformedTokenError
from keyless.jose.json import parse_json_object
from keyless.server.api.call import Answer, Call
from keyless.server.api.gate import Gate
from keyless.server.api.operation import Operation
from keyless.server.api.problems import ProblemError, log_problem, not_found, problem_for, problem_json
from keyless.server.doors.http import Receive, Scope, Send, caller_of, header, read_body
from keyless.server.services.trail import Caller
from keyless.server.store.admin import Administration, idempotency
from keyless.server.store.admin.idempotency import KeptAnswer

MAX_QUERY_BYTES: Final = 4096
MAX_PARAMETER_CHARS: Final = 255  # of a parameter in the path; no name of ours is longer
_KEY: Final = re.compile(r"[!-~]{1,64}")
_ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_JSON: Final = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?\s*', re.IGNORECASE)


class Endpoint:
    """Serve one path.

    Args:
        operations: Those of the path, by method.
        gate: Says who calls.
        administration: The service's own; each call acts in its caller's name.
    """

    def __init__(self, operations: Iterable[Operation], gate: Gate, administration: Administration) -> None:
        self._operations = {operation.method: operation for operation in operations}
        self._gate = gate
        self._administration = administration

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = caller_of(scope)
        try:
            _check_path(scope["path_params"])
            operation = self._operation(scope)
            body = await read_body(scope, receive, max_bytes=operation.max_body_bytes)
            loop = asyncio.get_running_loop()
            answer = await asyncio.to_thread(self._serve, operation, scope, body, caller, loop)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem
            await send_problem(send, error, request_id=caller.request_id)
            return
        headers = [(b"x-request-id", caller.request_id.encode("ascii"))]
        await _send(send, answer, headers, content_type=b"application/json")

    def _operation(self, scope: Scope) -> Operation:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            allowed = ", ".join(sorted(self._operations))
            raise ProblemError(405, "method_not_allowed", f"this path takes {allowed}", headers={"Allow": allowed})
        return operation

    def _serve(
        self, operation: Operation, scope: Scope, body: bytes, caller: Caller, loop: asyncio.AbstractEventLoop
    ) -> Answer:
        # Who calls comes before what is asked for: a stranger learns nothing from validation.
        signed_in = self._gate.enter(operation, header(scope, b"authorization"), caller.address)
        actor = "stranger" if signed_in is None else signed_in.principal.actor
        administration = self._administration.acting_as(actor, request_id=caller.request_id)
        call = Call(
            caller=caller,
            path=scope["path_params"],
            query=_read_query(operation, scope["query_string"]),
            body=_read_content(operation, header(scope, b"content-type"), body),
            if_match=header(scope, b"if-match") or None,
            administration=administration,
            signed_in_as=signed_in,
            loop=loop,
        )
        key = header(scope, b"idempotency-key")
        if not key or not operation.creates:
            return operation.handler(call)
        if not _KEY.fullmatch(key):
            raise ProblemError(400, "idempotency_key_invalid", "an Idempotency-Key is 1-64 printable ASCII characters")
        return _once(operation, call, key, scope["path"], body)


def _check_path(parameters: Mapping[str, str]) -> None:
    """Refuse what names nothing anyway, before a database sees it.

    Raises:
        ProblemError: 404.
    """
    for value in parameters.values():
        if len(value) > MAX_PARAMETER_CHARS or not value.isascii() or not value.isprintable():
            raise not_found()


def _once(operation: Operation, call: Call, key: str, path: str, body: bytes) -> Answer:
    """Do it, or answer what was answered when it was done; both in one transaction."""
    digest = hashlib.sha256(json.dumps([operation.method, path]).encode("ascii") + body).digest()
    principal_id = call.signed_in.principal.id
    with call.administration.together() as change:
        kept = idempotency.find(change, principal_id, key)
        if kept is None:
            answer = operation.handler(call)
            content = answer.kept if answer.kept is not None else answer.content or {}
            idempotency.keep(change, principal_id, key, KeptAnswer(digest, answer.status, answer.headers, content))
            return answer
    if kept.request_hash != digest:
        raise ProblemError(
            422,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request",
            hint="Make a new key for each thing to create.",
        )
    return Answer(kept.status, kept.content, {**kept.headers, "Idempotency-Replayed": "true"})


def _read_query(operation: Operation, query: bytes) -> Any:
    if len(query) > MAX_QUERY_BYTES:
        raise ProblemError(400, "query_invalid", f"the query is longer than {MAX_QUERY_BYTES} bytes")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:  # also of the decoding
        raise ProblemError(400, "query_invalid", "the query cannot be read") from None
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ProblemError(400, "query_invalid", "the query names a parameter twice")
    if operation.query is None:
        if members:
            raise ProblemError(400, "query_invalid", "this operation takes no query")
        return None
    return _validated(operation.query, members, status=400, code="query_invalid", what="the query")


def _read_content(operation: Operation, content_type: str, body: bytes) -> Any:
    if operation.body is None:
        return None  # a body that nobody asked for is nobody's business
    if not _JSON.fullmatch(content_type):
        raise ProblemError(415, "media_type", "Content-Type must be application/json")
    try:
        members = parse_json_object(body)
    except MalformedTokenError as error:
        raise ProblemError(400, "body_malformed", f"the body is no JSON object: {error}") from None
    return _validated(operation.body, members, status=422, code="body_invalid", what="the body")


def _validated(
    model: type[BaseModel], members: Mapping[str, object], *, status: int, code: str, what: str
) -> BaseModel:
    try:
        return model.model_validate(members)
    except ValidationError as error:
        errors = [
            {
                "pointer": "".join(f"/{_escaped(part)}" for part in item["loc"]),
                "detail": str(item["msg"]),
            }
            for item in error.errors(include_input=False, include_url=False)[:20]
        ]
    named = ", ".join(item["pointer"] or "/" for item in errors[:3])
    raise ProblemError(status, code, f"{what} is wrong at {named}"[:500], errors=errors)


def _escaped(part: int | str) -> str:
    """Return a reference token (RFC 6901 section 3), short: a member's name is the caller's own."""
    return str(part).replace("~", "~0").replace("/", "~1")[:100]


async def send_problem(send: Send, error: Exception, *, request_id: str) -> None:
    """Log an error under its request id and send its problem."""
    problem = problem_for(error)
    log_problem(error, problem, request_id=request_id)
    answer = Answer(problem.status, problem_json(problem, request_id=request_id), problem.headers)
    headers = [(b"x-request-id", request_id.encode("ascii"))]
    await _send(send, answer, headers, content_type=b"application/problem+json")


async def _send(send: Send, answer: Answer, headers: Iterable[tuple[bytes, bytes]], *, content_type: bytes) -> None:
    body = b"" if answer.content is None else json.dumps(answer.content, separators=(",", ":")).encode("ascii")
    described = [] if answer.content is None else [(b"content-type", content_type)]
    own = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.headers.items()]
    length = [] if answer.status == 204 else [(b"content-length", str(len(body)).encode("ascii"))]
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [*described, *length, *_ALWAYS, *headers, *own],
        }
    )
    await send({"type": "http.response.body", "body": body})
