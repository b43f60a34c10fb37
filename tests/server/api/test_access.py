"""Who may call what: every operation, tried by those who may not."""

from __future__ import annotations

import re
from itertools import count

import pytest

from keyless.server.api.app import PREFIX
from keyless.server.api.operation import Access, Operation
from tests.server.api.manager import Manager
from tests.server.api.operations import OPERATIONS, body_of, path_of

LOCKED = [operation for operation in OPERATIONS if operation.access is not Access.OPEN]
CHANGES = [operation for operation in LOCKED if operation.access in {Access.CHANGE, Access.ADMIN}]
_ADDRESSES = count()
NAMES = [operation.id for operation in LOCKED]


def attempt(manager: Manager, operation: Operation, **how: str | None) -> tuple[int, str]:
    """Call an operation as well as can be, but for who calls; return status and code."""
    before = manager.kinds()
    path, body = path_of(operation, manager), body_of(operation, manager)
    address = f"198.51.100.{next(_ADDRESSES) % 250}"  # so that failures of one test slow no other down
    answer = manager.call(operation.method, path, body, match="*", address=address, **how)  # type: ignore[arg-type]  # texts
    assert manager.kinds() == before
    return answer.status, answer.json["code"]


@pytest.mark.parametrize("operation", LOCKED, ids=NAMES)
def test_nobody_gets_in_without_a_login(watched: Manager, operation: Operation) -> None:
    """D13: no operation was left open by mistake."""
    assert attempt(watched, operation, who=None) == (401, "login_required")


@pytest.mark.parametrize("operation", LOCKED, ids=NAMES)
def test_an_access_token_of_ours_is_refused(watched: Manager, operation: Operation) -> None:
    """T99: what a CI job got from us manages nothing, and reads nothing."""
    token = watched.service.exchange().json["access_token"]

    assert attempt(watched, operation, login=token) == (401, "machine_token")


@pytest.mark.parametrize("operation", LOCKED, ids=NAMES)
def test_an_id_token_is_refused(watched: Manager, operation: Operation) -> None:
    """T99: what a CI job proves itself with manages nothing."""
    assert attempt(watched, operation, login=watched.service.mint()) == (401, "machine_token")


@pytest.mark.parametrize("operation", CHANGES, ids=[operation.id for operation in CHANGES])
def test_a_reading_token_changes_nothing(watched: Manager, operation: Operation) -> None:
    """D13, T99: a machine's token for `trust plan` reads, and that is all."""
    status, code = attempt(watched, operation, who="machine")

    assert (status, code) == (403, "read_only_login")


@pytest.mark.parametrize("operation", CHANGES, ids=[operation.id for operation in CHANGES])
def test_a_viewer_changes_nothing(watched: Manager, operation: Operation) -> None:
    """D13: who may look into a namespace may not change it."""
    status, code = attempt(watched, operation, who="viewer")

    assert status in {403, 404}
    assert code in {"forbidden", "admin_required", "not_found"}


@pytest.mark.parametrize("operation", CHANGES, ids=[operation.id for operation in CHANGES])
def test_the_owner_of_another_namespace_changes_nothing(watched: Manager, operation: Operation) -> None:
    """T113: not by id either, and what is not theirs does not exist for them."""
    status, code = attempt(watched, operation, who="other")

    assert (status, code) in {(404, "not_found"), (403, "admin_required")}


@pytest.mark.parametrize("operation", [o for o in LOCKED if o.access is Access.ADMIN], ids=lambda o: o.id)
def test_an_owner_is_no_admin(watched: Manager, operation: Operation) -> None:
    """D13: what belongs to no namespace is the admins'."""
    assert attempt(watched, operation, who="owner") == (403, "admin_required")


def test_a_machine_can_have_no_other_role(manager: Manager) -> None:
    """T99: not by an admin's mistake either."""
    for role in ("admin", "owner"):
        body = {"name": "robot", "kind": "machine", "roles": [{"role": role}]}

        assert manager.call("POST", "/people", body).status == 422


@pytest.mark.parametrize("scheme", ["Basic", "bearer", "Token", ""])
def test_a_login_comes_as_bearer(manager: Manager, scheme: str) -> None:
    """RFC 6750 section 2.1: the scheme's case does not matter, its name does."""
    login = manager.logins["admin"]
    answer = manager.call("GET", "/publishers", who=None, authorization=f"{scheme} {login}".strip())

    assert answer.status == (200 if scheme == "bearer" else 401)
    if answer.status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_no_cookie_and_no_other_origin(manager: Manager) -> None:
    """T104: a browser brings no login by itself, and no other site's page may read an answer."""
    cookie = manager.call("GET", "/publishers", who=None, cookie=f"login={manager.logins['admin']}")
    foreign = manager.call("GET", "/publishers", origin="https://evil.example")
    preflight = manager.call("OPTIONS", "/publishers", origin="https://evil.example")

    assert cookie.status == 401
    assert preflight.status == 405
    for answer in (cookie, foreign, preflight):
        assert not [name for name in answer.headers if name.startswith(("access-control", "set-cookie"))]


def test_the_api_is_not_on_the_public_listener(manager: Manager) -> None:
    """D19: management is inside only."""
    from tests.support.asgi import ask

    headers = {"authorization": f"Bearer {manager.logins['admin']}"}
    assert ask(manager.service.app.public, "GET", f"{PREFIX}/publishers", headers=headers).status == 404


def test_every_refusal_is_a_problem(manager: Manager) -> None:
    """RFC 9457: one shape, with the stable code and the request id."""
    answer = manager.call("GET", "/publishers", who=None)

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "urn:keyless:problem:login_required"
    assert answer.json["status"] == 401
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{24}", answer.json["request_id"])
