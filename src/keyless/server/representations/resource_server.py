"""A resource server as JSON, and back."""

from __future__ import annotations

from keyless.server.representations import reading
from keyless.server.representations.reading import Json
from keyless.server.store.records import ResourceServer
from keyless.trust.publisher import Operation


def resource_server_json(server: ResourceServer) -> dict[str, object]:
    """Return a resource server; its credential is nowhere to be had."""
    return {
        "name": server.name,
        "kind": server.kind,
        "audience": server.audience,
        "token_prefix": server.token_prefix,
        "user_token_prefix": server.user_token_prefix,
        "operations": [operation.value for operation in server.operations],
        "may_introspect": server.may_introspect,
    }


def resource_server_from_json(content: Json) -> ResourceServer:
    """Read what `resource_server_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    try:
        operations = tuple(Operation(name) for name in reading.texts(content, "operations"))
    except ValueError:
        raise reading.unexpected("operations") from None
    return ResourceServer(
        reading.text(content, "name"),
        reading.text(content, "audience"),
        reading.text(content, "token_prefix"),
        reading.text(content, "user_token_prefix"),
        operations,
        reading.flag(content, "may_introspect"),
        reading.text(content, "kind"),
    )
