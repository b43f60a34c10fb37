"""Resource servers: who accepts our tokens and may ask about them. Everybody signed in may look, admins change."""

from __future__ import annotations

from typing import Final

from keyless.errors import ConfigurationError
from keyless.server.api.call import Answer, Call, Json, etag_of, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import ProblemError, not_found
from keyless.server.representations.fields import Closed, Text, Url
from keyless.server.representations.resource_server import resource_server_json
from keyless.server.store.records import ResourceServer


class ResourceServerBody(Closed):
    """Describe a resource server to add."""

    name: Text
    audience: Url
    profile: Text = "keyless"


def list_servers(call: Call) -> Answer:
    """Return a page of resource servers, the first one made leading."""
    query: PageQuery = call.query
    after = decode_cursor(query.after, int)
    found = call.administration.resource_server_page(
        after=None if after is None else int(after[0]), limit=query.limit + 1
    )
    following = encode_cursor([found[query.limit - 1][0]]) if len(found) > query.limit else None
    return Answer(200, page_json([resource_server_json(item) for _, item in found[: query.limit]], following))


def add_server(call: Call) -> Answer:
    """Add one; the one answer that ever holds its credential."""
    body: ResourceServerBody = call.body
    with call.administration.together():
        secret = call.administration.add_resource_server(body.name, audience=body.audience, profile=body.profile)
        added = call.administration.resource_server(body.name)
    content = resource_server_json(added)
    headers = {"ETag": etag_of(content), "Location": f"/api/v1/resource-servers/{added.name}"}
    return Answer(201, {**content, "credential": secret.reveal()}, headers, kept={**content, "credential": None})


def show_server(call: Call) -> Answer:
    """Return one resource server."""
    content = resource_server_json(_find(call))
    return Answer(200, content, {"ETag": etag_of(content)})


def remove_server(call: Call) -> Answer:
    """Remove one that no publisher names."""
    with call.administration.together():
        found = _find(call)
        call.check_match(etag_of(resource_server_json(found)))
        try:
            call.administration.remove_resource_server(found.name)
        except ConfigurationError as error:
            raise ProblemError(409, "in_use", str(error), hint=error.hint) from None
    return Answer(204, None)


def renew_credential(call: Call) -> Answer:
    """Give one a new credential; the old one ends, and this is the one answer that holds the new one."""
    with call.administration.together():
        found = _find(call)
        secret = call.administration.renew_resource_server_credential(found.name)
    content: Json = {"name": found.name}
    return Answer(201, {**content, "credential": secret.reveal()}, kept={**content, "credential": None})


def _find(call: Call) -> ResourceServer:
    try:
        return call.administration.resource_server(call.path["server_name"])
    except ConfigurationError:
        raise not_found() from None


_ONE: Final = "/resource-servers/{server_name}"
OPERATIONS: Final = (
    Operation(
        id="listResourceServers",
        method="GET",
        path="/resource-servers",
        handler=list_servers,
        access=Access.READ,
        query=PageQuery,
    ),
    Operation(
        id="addResourceServer",
        method="POST",
        path="/resource-servers",
        handler=add_server,
        access=Access.ADMIN,
        body=ResourceServerBody,
        creates=True,
    ),
    Operation(id="showResourceServer", method="GET", path=_ONE, handler=show_server, access=Access.READ),
    Operation(id="removeResourceServer", method="DELETE", path=_ONE, handler=remove_server, access=Access.ADMIN),
    Operation(
        id="renewResourceServerCredential",
        method="POST",
        path=f"{_ONE}/credential",
        handler=renew_credential,
        access=Access.ADMIN,
        creates=True,
    ),
)
