"""The OpenAPI document and the code say the same, both ways."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from keyless.server.api.document import load_document
from keyless.server.api.endpoint import MAX_PARAMETER_CHARS
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import TITLES
from tests.server.api.manager import Manager
from tests.server.api.operations import OPERATIONS

DOCUMENT = load_document()
ACCESS = {
    Access.OPEN: "open",
    Access.READ: "read",
    Access.CHANGE: "change",
    Access.ADMIN_READ: "read everywhere",
    Access.ADMIN: "admin",
}
ROOT = Path(__file__).resolve().parents[3]
IDS = [operation.id for operation in OPERATIONS]


def described() -> dict[str, dict[str, Any]]:
    """Return every operation of the document by its id, with method and path in it."""
    return {
        operation["operationId"]: {**operation, "method": method.upper(), "path": path}
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference."""
    while "$ref" in value:
        target: Any = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def parameters(operation: dict[str, Any], place: str) -> set[str]:
    return {p["name"] for p in map(resolved, operation.get("parameters", [])) if p["in"] == place}


def test_every_operation_is_described_and_every_description_is_real() -> None:
    """D13: the contract is whole: no route without a description, no description without a route."""
    routes = {(o.id, o.method, re.sub(r":path\}", "}", o.path)) for o in OPERATIONS}

    assert {(name, o["method"], o["path"]) for name, o in described().items()} == routes


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
def test_who_may_call_and_what_it_takes_is_as_described(operation: Operation) -> None:
    """D13: access, path, query, headers and body members of each operation."""
    found = described()[operation.id]

    assert found["x-access"] == ACCESS[operation.access]
    assert (found.get("security") == []) == (operation.access is Access.OPEN)
    assert parameters(found, "path") == set(re.findall(r"\{(\w+)", operation.path))
    assert parameters(found, "query") == set(operation.query.model_fields if operation.query else ())
    assert ("Idempotency-Key" in parameters(found, "header")) == operation.creates
    body = found.get("requestBody")
    assert (body is None) == (operation.body is None)
    if operation.body is not None and body is not None:
        schema = resolved(body["content"]["application/json"]["schema"])
        model = operation.body.model_fields
        assert set(schema["properties"]) == set(model)
        assert set(schema.get("required", [])) == {name for name, field in model.items() if field.is_required()}
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize("operation", OPERATIONS, ids=IDS)
def test_every_status_that_can_come_is_described(operation: Operation) -> None:
    """RFC 9457: what any caller can cause has its line in the document."""
    statuses = set(described()[operation.id]["responses"])

    assert {"400", "413", "429", "503", "401"} <= statuses
    if operation.access is not Access.OPEN:
        assert "403" in statuses
    if operation.body is not None:
        assert {"415", "422"} <= statuses
    if "{" in operation.path:
        assert "404" in statuses
    if "If-Match" in parameters(described()[operation.id], "header"):
        assert {"412", "428"} <= statuses


def test_every_reference_leads_somewhere_and_everything_is_used() -> None:
    """The document is whole in itself."""
    text = str(DOCUMENT)
    references = set(re.findall(r"#/components/(\w+)/(\w+)", text))

    for room, name in references:
        assert name in DOCUMENT["components"][room]
    for room in ("parameters", "responses", "schemas"):
        assert {name for kind, name in references if kind == room} == set(DOCUMENT["components"][room])
    assert {int(status) for o in described().values() for status in o["responses"]} - {200, 201, 202, 204} <= set(
        TITLES
    )


def test_the_document_is_served_to_everybody(manager: Manager) -> None:
    """D13: a tool may read the contract before it has a login."""
    answer = manager.call("GET", "/openapi.json", who=None)

    assert (answer.status, answer.json) == (200, DOCUMENT)


def test_no_parameter_of_a_path_is_too_long_for_the_database(manager: Manager) -> None:
    """V05: it names nothing, and that is said before it is looked for."""
    for value in ("x" * (MAX_PARAMETER_CHARS + 1), "a\x00b", "\u00e9"):
        assert manager.call("GET", f"/tokens/{value}").status == 404
        assert manager.call("GET", f"/namespaces/{value}").status == 404


def test_every_code_of_a_problem_is_documented() -> None:
    """RFC 9457: a stable code that nobody can read about is none."""
    source = "".join(path.read_text() for path in (ROOT / "src/keyless/server/api").glob("*.py"))
    codes = set(re.findall(r"ProblemError\(\s*\d{3},\s*\"([a-z_]+)\"", source))
    codes |= {"body_invalid", "query_invalid", "login_refused", "plan_changed", "rate_limited", "unavailable"}
    page = (ROOT / "docs" / "api.md").read_text()

    assert len(codes) > 15
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []


def test_every_path_is_in_the_table_of_the_page() -> None:
    """docs/api.md names every room of the API."""
    page = (ROOT / "docs" / "api.md").read_text()
    rooms = {"/" + path.split("/")[1] for path in DOCUMENT["paths"]} - {"/openapi.json", "/policy"}

    assert [room for room in sorted(rooms) if f"`{room}`" not in page] == []
