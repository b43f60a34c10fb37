"""Resources, namespaces and locks as JSON."""

from __future__ import annotations

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
