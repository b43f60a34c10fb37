"""Resources and who may publish to them: the list, and one resource with its publishers and recent exchanges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyless.errors import ResourceSyntaxError
from keyless.resource import Resource, parse_resource
from keyless.server.store.admin import resource_list
from keyless.server.ui.listing import PAGE_ROWS, next_url
from keyless.server.ui.pages.attempts import recent_attempts
from keyless.server.ui.visit import Answer, Html, See, Visit, not_found


def show_all(visit: Visit) -> Answer:
    """List resources by name, those that may be seen."""
    wanted = visit.query.get("q", "").strip()
    if wanted and (found := _parsed(wanted)) is not None:
        return See(f"/resources/{found}")
    with visit.administration.reading() as connection:
        rows = resource_list.by_name(
            connection,
            namespaces=visit.reader.readable_namespaces,
            prefix=wanted,
            after=visit.query.get("after"),
            limit=PAGE_ROWS + 1,
        )
    more = next_url(visit, rows[PAGE_ROWS - 1].resource) if len(rows) > PAGE_ROWS else None
    return Html("resources.html", {"rows": rows[:PAGE_ROWS], "more": more, "q": wanted})


def show(visit: Visit) -> Answer:
    """Show one resource."""
    resource = of_path(visit)
    publishers = visit.administration.publishers(resource)
    with visit.administration.reading() as connection:
        found = resource_list.find(connection, resource)
    if found is None and not publishers:
        raise not_found()
    values = {
        "resource": resource,
        "state": "active" if found is None else found.state,
        "publishers": publishers,
        "attempts": recent_attempts(visit, resource, limit=20),
        "may_change": visit.reader.may_change(resource.namespace),
    }
    return Html("resource.html", values)


def lock(visit: Visit) -> Answer:
    """Lock a resource, or make it active again."""
    resource = of_path(visit)
    visit.may_change(resource.namespace)
    visit.administration.set_resource_state(resource, "locked" if visit.form.get("to") == "locked" else "active")
    return See(f"/resources/{resource}")


def of_path(visit: Visit) -> Resource:
    """Return the resource that a path names, if this person may see it.

    Raises:
        PageError: It is no resource, or belongs to somebody else.
    """
    found = _parsed(visit.path["resource"])
    if found is None:
        raise not_found()
    visit.may_read(found.namespace)
    return found


def _parsed(text: str) -> Resource | None:
    try:
        return parse_resource(text)
    except ResourceSyntaxError:
        return None


PAGES: Final[Mapping[str, Mapping[str, Callable[[Visit], Answer]]]] = {
    "/resources": {"GET": show_all},
    "/resources/{resource:path}/lock": {"POST": lock},
    "/resources/{resource:path}": {"GET": show},
}
