"""Trusted Publishers: listing, adding, showing, switching, removing."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from keyless.errors import ConfigurationError
from keyless.issuers import profile_for
from keyless.resource import parse_resource
from keyless.server.api.call import Answer, Call, etag_of_version, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import not_found
from keyless.server.representations.fields import Text
from keyless.server.representations.new_publisher import PublisherDescription, PublisherTerms
from keyless.server.representations.publisher import publisher_json
from keyless.server.store.admin.description import description_of
from keyless.server.store.admin.rules import warnings_for
from keyless.trust.publisher import Publisher


class PublisherQuery(PageQuery):
    """Ask for publishers, of one resource or of all that the caller may see."""

    resource: Text | None = None


class PublisherChange(PublisherTerms):
    """Say what changes of a publisher; what is left out stays. `reason` says why it is switched off."""

    enabled: bool | None = None
    reason: Text | None = None


def list_publishers(call: Call) -> Answer:
    """Return a page of publishers."""
    query: PublisherQuery = call.query
    resource = None
    if query.resource is not None:
        resource = parse_resource(query.resource)
        call.may_see(resource.namespace)
    found = call.administration.publisher_page(
        namespaces=call.signed_in.readable_namespaces,
        resource=resource,
        after=decode_cursor(query.after, int, str, str, str),
        limit=query.limit + 1,
    )
    following = encode_cursor(found[query.limit - 1][0]) if len(found) > query.limit else None
    return Answer(200, page_json([publisher_json(publisher) for _, publisher in found[: query.limit]], following))


def add_publisher(call: Call) -> Answer:
    """Add a publisher in a namespace that the caller owns."""
    body: PublisherDescription = call.body
    new = body.new_publisher()
    call.may_change(new.resource.namespace)
    if not call.signed_in.is_admin:
        call.administration.issuer(new.issuer_url)  # one that comes into being with a publisher is an admin's to bring
    publisher = call.administration.add_publisher(new)
    warnings = warnings_for(profile_for(publisher.issuer_kind), publisher.conditions)
    answer = _shown(publisher, status=201, location=True)
    return Answer(201, {**(answer.content or {}), "warnings": list(warnings)}, answer.headers)


def show_publisher(call: Call) -> Answer:
    """Return one publisher."""
    return _shown(_find(call))


def change_publisher(call: Call) -> Answer:
    """Change what a publisher demands and gives, or switch it on or off."""
    body: PublisherChange = call.body
    with call.administration.together():
        found = _find(call, to_change=True)
        call.check_match(etag_of_version(found.version))
        if terms := body.terms(body.model_fields_set):
            new = replace(description_of(found), **terms)
            found = call.administration.change_publisher(found.id, new, expected_version=found.version)
        if body.enabled is not None:
            found = call.administration.set_publisher_enabled(found.id, enabled=body.enabled, reason=body.reason)
    return _shown(found)


def remove_publisher(call: Call) -> Answer:
    """Remove a publisher for good."""
    with call.administration.together():
        found = _find(call, to_change=True)
        call.check_match(etag_of_version(found.version))
        call.administration.remove_publisher(found.id, resource=found.resource)
    return Answer(204, None)


def _find(call: Call, *, to_change: bool = False) -> Publisher:
    """Return the publisher of the path if it is the caller's to see, or to change (T113)."""
    try:
        found = call.administration.publisher(call.path["publisher_id"])
    except ConfigurationError:
        raise not_found() from None
    if to_change:
        call.may_change(found.resource.namespace)
    else:
        call.may_see(found.resource.namespace)
    return found


def _shown(publisher: Publisher, *, status: int = 200, location: bool = False) -> Answer:
    headers = {"ETag": etag_of_version(publisher.version)}
    if location:
        headers["Location"] = f"/api/v1/publishers/{publisher.id}"
    return Answer(status, publisher_json(publisher), headers)


OPERATIONS: Final = (
    Operation(
        id="listPublishers",
        method="GET",
        path="/publishers",
        handler=list_publishers,
        access=Access.READ,
        query=PublisherQuery,
    ),
    Operation(
        id="addPublisher",
        method="POST",
        path="/publishers",
        handler=add_publisher,
        access=Access.CHANGE,
        body=PublisherDescription,
        creates=True,
    ),
    Operation(
        id="showPublisher",
        method="GET",
        path="/publishers/{publisher_id}",
        handler=show_publisher,
        access=Access.READ,
    ),
    Operation(
        id="changePublisher",
        method="PATCH",
        path="/publishers/{publisher_id}",
        handler=change_publisher,
        access=Access.CHANGE,
        body=PublisherChange,
    ),
    Operation(
        id="removePublisher",
        method="DELETE",
        path="/publishers/{publisher_id}",
        handler=remove_publisher,
        access=Access.CHANGE,
    ),
)
