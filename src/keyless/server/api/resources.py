"""Resources, namespaces and the lock of everything: what exists, and what gets no tokens (T101, T109)."""

from __future__ import annotations

from typing import Final, Literal

from keyless.errors import ConfigurationError, ResourceSyntaxError
from keyless.resource import Resource, parse_resource
from keyless.server.api.call import Answer, Call, etag_of, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import ProblemError, not_found
from keyless.server.representations.fields import Closed, Text
from keyless.server.representations.resource import locks_json, namespace_json, resource_json
from keyless.server.store.admin import resource_list
from keyless.server.store.admin.resource_list import NamespaceState
from keyless.server.store.admin.resources import ResourceState


class ResourceChange(Closed):
    """Say what changes of a resource; what is left out stays."""

    state: Literal["active", "locked"] | None = None
    publishers_only: bool | None = None
    reason: Text | None = None


class NamespaceChange(Closed):
    """Lock a namespace with everything in it, or open it again."""

    state: Literal["active", "locked"]
    reason: Text | None = None


class LockChange(Closed):
    """Stop every exchange and every token, or let them go on."""

    everything: bool
    reason: Text | None = None


def list_resources(call: Call) -> Answer:
    """Return a page of resources."""
    query: PageQuery = call.query
    with call.administration.reading() as connection:
        found = resource_list.page(
            connection,
            namespaces=call.signed_in.readable_namespaces,
            after=decode_cursor(query.after, int, str, str),
            limit=query.limit + 1,
        )
    following = encode_cursor(found[query.limit - 1][0]) if len(found) > query.limit else None
    return Answer(200, page_json([resource_json(state) for _, state in found[: query.limit]], following))


def show_resource(call: Call) -> Answer:
    """Return one resource."""
    resource = _resource(call)
    call.may_see(resource.namespace)
    return _shown(_state(call, resource))


def change_resource(call: Call) -> Answer:
    """Lock a resource, open it again, or keep it for publishers only."""
    body: ResourceChange = call.body
    resource = _resource(call)
    call.may_change(resource.namespace)
    with call.administration.together():
        call.check_match(etag_of(resource_json(_state(call, resource))))
        if body.state is not None:
            try:
                call.administration.set_resource_state(resource, body.state, reason=body.reason)
            except ConfigurationError as error:
                raise ProblemError(409, "pending", str(error), hint=error.hint) from None
        if body.publishers_only is not None:
            call.administration.set_publishers_only(resource, publishers_only=body.publishers_only)
        return _shown(_state(call, resource))


def list_namespaces(call: Call) -> Answer:
    """Return a page of namespaces."""
    query: PageQuery = call.query
    after = decode_cursor(query.after, str)
    with call.administration.reading() as connection:
        found = resource_list.namespace_page(
            connection,
            namespaces=call.signed_in.readable_namespaces,
            after=None if after is None else str(after[0]),
            limit=query.limit + 1,
        )
    following = encode_cursor([found[query.limit - 1].name]) if len(found) > query.limit else None
    return Answer(200, page_json([namespace_json(item) for item in found[: query.limit]], following))


def show_namespace(call: Call) -> Answer:
    """Return one namespace."""
    call.may_see(call.path["namespace"])
    content = namespace_json(_namespace(call))
    return Answer(200, content, {"ETag": etag_of(content)})


def change_namespace(call: Call) -> Answer:
    """Lock a namespace with everything in it, or open it again."""
    body: NamespaceChange = call.body
    name = call.path["namespace"]
    with call.administration.together():
        call.check_match(etag_of(namespace_json(_namespace(call))))
        call.administration.set_namespace_locked(name, locked=body.state == "locked", reason=body.reason)
        content = namespace_json(_namespace(call))
    return Answer(200, content, {"ETag": etag_of(content)})


def show_locks(call: Call) -> Answer:
    """Return everything that is locked."""
    content = locks_json(call.administration.locks())
    return Answer(200, content, {"ETag": etag_of(content)})


def change_locks(call: Call) -> Answer:
    """Stop every exchange and every token, or let them go on."""
    body: LockChange = call.body
    with call.administration.together():
        call.check_match(etag_of(locks_json(call.administration.locks())))
        call.administration.set_all_locked(locked=body.everything, reason=body.reason)
        content = locks_json(call.administration.locks())
    return Answer(200, content, {"ETag": etag_of(content)})


def _resource(call: Call) -> Resource:
    try:
        return parse_resource(call.path["resource"])
    except ResourceSyntaxError:
        raise not_found() from None


def _state(call: Call, resource: Resource) -> ResourceState:
    try:
        return call.administration.resource_state(resource)
    except ConfigurationError:
        raise not_found() from None


def _namespace(call: Call) -> NamespaceState:
    with call.administration.reading() as connection:
        found = resource_list.namespace(connection, call.path["namespace"])
    if found is None:
        raise not_found()
    return found


def _shown(state: ResourceState) -> Answer:
    content = resource_json(state)
    return Answer(200, content, {"ETag": etag_of(content)})


_RESOURCE: Final = "/resources/{resource:path}"
_NAMESPACE: Final = "/namespaces/{namespace}"
OPERATIONS: Final = (
    Operation(
        id="listResources",
        method="GET",
        path="/resources",
        handler=list_resources,
        access=Access.READ,
        query=PageQuery,
    ),
    Operation(id="showResource", method="GET", path=_RESOURCE, handler=show_resource, access=Access.READ),
    Operation(
        id="changeResource",
        method="PATCH",
        path=_RESOURCE,
        handler=change_resource,
        access=Access.CHANGE,
        body=ResourceChange,
    ),
    Operation(
        id="listNamespaces",
        method="GET",
        path="/namespaces",
        handler=list_namespaces,
        access=Access.READ,
        query=PageQuery,
    ),
    Operation(id="showNamespace", method="GET", path=_NAMESPACE, handler=show_namespace, access=Access.READ),
    Operation(
        id="changeNamespace",
        method="PATCH",
        path=_NAMESPACE,
        handler=change_namespace,
        access=Access.ADMIN,  # who locked a namespace against its owner did not mean the owner to open it
        body=NamespaceChange,
    ),
    Operation(id="showLocks", method="GET", path="/locks", handler=show_locks, access=Access.ADMIN_READ),
    Operation(
        id="changeLocks", method="PATCH", path="/locks", handler=change_locks, access=Access.ADMIN, body=LockChange
    ),
)
