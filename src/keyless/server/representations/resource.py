"""Resources, namespaces and locks as JSON, and back."""

from __future__ import annotations

from keyless.resource import parse_resource
from keyless.server.representations import reading
from keyless.server.representations.reading import Json
from keyless.server.store.admin.resource_list import NamespaceState
from keyless.server.store.admin.resources import Locks, ResourceState


def resource_json(state: ResourceState) -> dict[str, object]:
    """Return a resource; it takes tokens only while it and its namespace are active."""
    return {
        "resource": str(state.resource),
        "namespace": state.resource.namespace,
        "state": state.state,
        "namespace_state": state.namespace_state,
        "publishers_only": state.publishers_only,
    }


def namespace_json(state: NamespaceState) -> dict[str, object]:
    """Return a namespace."""
    return {"name": state.name, "kind": state.kind, "state": state.state}


def locks_json(locks: Locks) -> dict[str, object]:
    """Return everything that is locked."""
    return {
        "everything": locks.everything,
        "namespaces": list(locks.namespaces),
        "resources": [str(resource) for resource in locks.resources],
        "issuers": list(locks.issuers),
    }


def resource_from_json(content: Json) -> ResourceState:
    """Read what `resource_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    return ResourceState(
        resource=parse_resource(reading.text(content, "resource")),
        state=reading.text(content, "state"),
        namespace_state=reading.text(content, "namespace_state"),
        publishers_only=content.get("publishers_only") is True,
    )


def locks_from_json(content: Json) -> Locks:
    """Read what `locks_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    return Locks(
        everything=content.get("everything") is True,
        namespaces=tuple(reading.texts(content, "namespaces")),
        resources=tuple(parse_resource(path) for path in reading.texts(content, "resources")),
        issuers=tuple(reading.texts(content, "issuers")),
    )
