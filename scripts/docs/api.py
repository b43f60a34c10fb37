"""The reference of the management API, out of its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.docs.text import made_by, table

DOCUMENT = Path(__file__).resolve().parents[2] / "src/keyless/server/api/openapi.json"
INTRODUCTION = """\
All that the service answers to: the endpoints of its two listeners, then every call of `/api/v1`, out of the document
that the service itself serves at `/api/v1/openapi.json`. Who calls there, paging, versions, repetition and problems are
told once, in [api.md](../api.md).
"""
PUBLIC = {
    "POST /oauth/token": ("an id token for an access token (RFC 8693)", "[reasons](reasons.md)"),
    "POST /oauth/explain": ("what the publishers make of an id token, without an exchange", "[explain](../explain.md)"),
    "POST /oauth/revoke": ("give an access token back (RFC 7009)", "[exec](../exec.md#afterwards)"),
    "GET /oauth/jwks": ("the keys that our tokens are signed with (RFC 7517)", "[verifier](../verifier.md)"),
    "GET /.well-known/oauth-authorization-server": ("what a client has to know of us (RFC 8414)", ""),
    "GET /.well-known/openid-configuration": ("the same, for clients that ask nowhere else", ""),
    "GET /.well-known/oauth-protected-resource": ("which token service this hub has (RFC 9728)", ""),
    "GET /healthz": ("200 while the process answers", "[operations](../operations.md)"),
}
"""The public listener: each endpoint with what it is and where it is told of. A test compares it with the service."""
INSIDE = {
    "POST /oauth/introspect": ("whether a token is good now (RFC 7662)", "[verifier](../verifier.md)"),
    "GET /oauth/feed": ("what was withdrawn since", "[verifier](../verifier.md)"),
    "POST /resources/state": ("whether a resource takes stored tokens, or is locked", "[publishers](../publishers.md)"),
    "POST /resources/created": ("a hub tells of a new repository", "[publishers](../publishers.md)"),
    "GET /auth/check": ("a proxy asks on behalf of a hub", "[forward auth](../forward-auth.md)"),
    "GET /healthz": ("200 while the process answers", "[operations](../operations.md)"),
    "GET /readyz": ("200 while it can decide", "[operations](../operations.md)"),
    "GET /metrics": ("figures in Prometheus' format", "[operations](../operations.md#watching)"),
}
"""The same of the inside listener, but for `/api/v1` and the pages."""
_ACCESS = {
    "open": "anybody",
    "read": "whoever is signed in, as far as the roles reach",
    "read everywhere": "viewers of every namespace",
    "change": "owners, as far as the roles reach",
    "admin": "admins",
}


def page() -> str:
    """Return the whole page."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    lines = ["# The HTTP API, call by call", "", *made_by("api", "src/keyless/server/api/openapi.json"), INTRODUCTION]
    for listener, endpoints in (("public", PUBLIC), ("inside", INSIDE)):
        lines += [f"## On the {listener} listener", ""]
        lines += table(("endpoint", "", "more"), ((f"`{one}`", *rest) for one, rest in endpoints.items()))
    lines += ["The inside listener also has `/ui/`, the [web pages](../pages.md), and", "", "## /api/v1", ""]
    calls = [(path, method, call) for path, methods in document["paths"].items() for method, call in methods.items()]
    rows = [
        (f"`{method.upper()} {path}`", call["summary"], _access(call), _body(call), _answers(call))
        for path, method, call in calls
    ]
    lines += table(("call", "", "for", "body", "answers"), rows)
    lines += ["Every call may also be answered with a [problem](../api.md#problems).", "", "## Parameters", ""]
    rows = [
        (f"`{part['name']}`", part["in"], _schema(part["schema"]), part.get("description", ""), _used(name, calls))
        for name, part in document["components"]["parameters"].items()
    ]
    lines += table(("name", "in the", "value", "", "of"), rows)
    lines += ["## Bodies", ""]
    for name, schema in document["components"]["schemas"].items():
        lines += [f"### {name}", "", *_fields(schema)]
    return "\n".join(lines).rstrip() + "\n"


def _access(call: dict[str, Any]) -> str:
    return _ACCESS[call["x-access"]]


def _body(call: dict[str, Any]) -> str:
    content = call.get("requestBody", {}).get("content", {})
    return ", ".join(_schema(part["schema"]) for part in content.values())


def _answers(call: dict[str, Any]) -> str:
    parts = []
    for status, answer in call["responses"].items():
        if status.startswith("2"):
            content = answer.get("content", {})
            shown = ", ".join(_schema(part.get("schema", {})) for part in content.values())
            parts.append(f"{status} {shown}".strip())
    return "; ".join(parts)


def _used(name: str, calls: list[tuple[str, str, dict[str, Any]]]) -> str:
    wanted = f"#/components/parameters/{name}"
    users = [call for _, _, call in calls if any(part.get("$ref") == wanted for part in call.get("parameters", ()))]
    return f"{len(users)} calls" if len(users) > 3 else ", ".join(f"`{call['operationId']}`" for call in users)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    if text := schema.get("description"):
        yield from (text, "")
    fields = schema.get("properties")
    if fields is None:
        yield from (f"{_schema(schema)[:1].upper()}{_schema(schema)[1:]}.", "")
        return
    needed = set(schema.get("required", ()))
    rows = [
        (f"`{name}`", _schema(part), "yes" if name in needed else "", part.get("description", ""))
        for name, part in fields.items()
    ]
    yield from table(("member", "value", "always", ""), rows)


def _schema(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    if (ref := schema.get("$ref")) is not None:
        name = ref.rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "/schemas/" in ref else name
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_schema(part) for part in schema[word]))
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(_schema({**schema, "type": one}) for one in kind)
    if kind == "array":
        return f"list of {_schema(schema.get('items', {}))}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"object of {_schema(values)}" if isinstance(values, dict) and values else "object"
    bounds = _bounds(schema)
    return f"{kind} {bounds}" if bounds else str(kind)


def _bounds(schema: dict[str, Any]) -> str:
    for low, high, unit in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        least, most = schema.get(low), schema.get(high)
        if least is not None and most is not None:
            return f"{least}-{most}{unit}"
        if most is not None:
            return f"up to {most}{unit}"
        if least is not None:
            return f"from {least}{unit}"
    return ""
