"""People and machines that may sign in, for admins: who there is, which roles, and a way in for somebody (D13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyless.errors import ConfigurationError
from keyless.server.people.principal import PrincipalKind, Role, RoleGrant
from keyless.server.ui.listing import PAGE_ROWS, next_url
from keyless.server.ui.visit import Answer, Html, PageError, See, Visit


def show_all(visit: Visit) -> Answer:
    """List principals."""
    visit.reads_everything()
    return _page(visit)


def add(visit: Visit) -> Answer:
    """Add a person with one role."""
    visit.admin()
    name, namespace = visit.form.get("name", "").strip(), visit.form.get("namespace", "").strip()
    try:
        role = Role(visit.form.get("role", ""))
    except ValueError:
        raise PageError(422, "choose a role") from None
    visit.people.add(name, kind=PrincipalKind.PERSON, roles=[RoleGrant(role, namespace)])
    return See("/people")


def code(visit: Visit) -> Answer:
    """Make a one-time code for somebody, and show it once."""
    visit.admin()
    name = visit.form.get("name", "")
    made = visit.people.make_login_code(name)
    return _page(visit, code=made.reveal(), code_for=name)


def switch(visit: Visit) -> Answer:
    """Switch a principal on or off."""
    visit.admin()
    name, on = visit.form.get("name", ""), visit.form.get("to") == "on"
    if name == visit.person.name and not on:
        raise ConfigurationError("you would lock yourself out", hint="Another admin can do this.")
    visit.people.set_enabled(name, enabled=on)
    return See("/people")


def _page(visit: Visit, *, code: str | None = None, code_for: str | None = None) -> Html:
    people = visit.people.page(after=visit.query.get("after"), limit=PAGE_ROWS + 1)
    values = {
        "people": people[:PAGE_ROWS],
        "more": next_url(visit, people[PAGE_ROWS - 1].name) if len(people) > PAGE_ROWS else None,
        "may_change": visit.reader.is_admin,
        "roles": [role.value for role in Role],
        "code": code,
        "code_for": code_for,
    }
    return Html("people.html", values)


PAGES: Final[Mapping[str, Mapping[str, Callable[[Visit], Answer]]]] = {
    "/people": {"GET": show_all, "POST": add},
    "/people/code": {"POST": code},
    "/people/switch": {"POST": switch},
}
