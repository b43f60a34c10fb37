"""People and machines: who they are, their roles, codes, logins and reading tokens. For admins."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from keyless.errors import ConfigurationError
from keyless.server.api.call import Answer, Call, Json, etag_of_version, page_json
from keyless.server.api.cursor import decode_cursor, encode_cursor
from keyless.server.api.models import PageQuery
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import not_found
from keyless.server.people.credentials import CODE_SECONDS, MAX_READING_SECONDS
from keyless.server.people.principal import EVERYWHERE, Principal, PrincipalKind, Role, RoleGrant
from keyless.server.representations.fields import Closed, Name, Text
from keyless.server.representations.principal import login_json, principal_json, signed_in_json
from keyless.server.store.admin.principals import MAX_ROLES


class RoleBody(Closed):
    """Give a role, in one namespace or everywhere."""

    role: Literal["admin", "owner", "viewer"]
    namespace: Text | None = None


Roles = Annotated[list[RoleBody], Field(max_length=MAX_ROLES)]


class PersonBody(Closed):
    """Describe a person or a machine to add."""

    name: Name
    kind: Literal["person", "machine"] = "person"
    roles: Roles


class PersonChange(Closed):
    """Say what changes; what is left out stays."""

    roles: Roles | None = None
    enabled: bool | None = None


class ReadingTokenBody(Closed):
    """Say how long a machine's reading token lives."""

    expires_in: Annotated[int, Field(ge=60, le=MAX_READING_SECONDS)]


def list_people(call: Call) -> Answer:
    """Return a page of people and machines."""
    query: PageQuery = call.query
    after = decode_cursor(query.after, str)
    found = call.people.page(after=None if after is None else str(after[0]), limit=query.limit + 1)
    following = encode_cursor([found[query.limit - 1].name]) if len(found) > query.limit else None
    return Answer(200, page_json([principal_json(item) for item in found[: query.limit]], following))


def add_person(call: Call) -> Answer:
    """Add a person or a machine."""
    body: PersonBody = call.body
    added = call.people.add(body.name, kind=PrincipalKind(body.kind), roles=_roles(body.roles))
    return _shown(added, status=201)


def show_person(call: Call) -> Answer:
    """Return one."""
    return _shown(_find(call))


def change_person(call: Call) -> Answer:
    """Change roles, or switch on or off."""
    body: PersonChange = call.body
    with call.administration.together():
        found = _find(call)
        call.check_match(etag_of_version(found.version))
        if body.roles is not None:
            found = call.people.set_roles(found.name, _roles(body.roles))
        if body.enabled is not None:
            found = call.people.set_enabled(found.name, enabled=body.enabled)
    return _shown(found)


def remove_person(call: Call) -> Answer:
    """Remove one for good."""
    with call.administration.together():
        found = _find(call)
        call.check_match(etag_of_version(found.version))
        call.people.remove(found.name)
    return Answer(204, None)


def make_code(call: Call) -> Answer:
    """Make a one-time code for a person to sign in with; the one answer that ever holds it."""
    with call.administration.together():
        code = call.people.make_login_code(_find(call).name)
    content: Json = {"selector": code.selector, "expires_in": CODE_SECONDS}
    return Answer(201, {"code": code.reveal(), **content}, kept={"code": None, **content})


def make_reading_token(call: Call) -> Answer:
    """Make a token for a machine that only reads; the one answer that ever holds it."""
    body: ReadingTokenBody = call.body
    with call.administration.together():
        started = call.people.make_reading_token(_find(call).name, seconds=body.expires_in)
    content: Json = {"token_type": "Bearer", "expires_in": body.expires_in, **signed_in_json(started.signed_in)}
    return Answer(201, {"token": started.secret.reveal(), **content}, kept={"token": None, **content})


def list_logins(call: Call) -> Answer:
    """Return a page of the logins of one that are good now."""
    query: PageQuery = call.query
    after = decode_cursor(query.after, str)
    found = call.people.logins(_find(call).name, after=None if after is None else str(after[0]), limit=query.limit + 1)
    following = encode_cursor([found[query.limit - 1].id]) if len(found) > query.limit else None
    return Answer(200, page_json([login_json(item) for item in found[: query.limit]], following))


def end_login(call: Call) -> Answer:
    """End a login of one at once."""
    if not call.people.end_login(call.path["login_id"], of=_find(call).id):
        raise not_found()
    return Answer(204, None)


def _find(call: Call) -> Principal:
    try:
        return call.people.get(call.path["name"])
    except ConfigurationError:
        raise not_found() from None


def _roles(bodies: list[RoleBody]) -> list[RoleGrant]:
    return [RoleGrant(Role(body.role), body.namespace or EVERYWHERE) for body in bodies]


def _shown(principal: Principal, *, status: int = 200) -> Answer:
    headers = {"ETag": etag_of_version(principal.version)}
    if status == 201:
        headers["Location"] = f"/api/v1/people/{principal.name}"
    return Answer(status, principal_json(principal), headers)


_ONE: Final = "/people/{name}"
OPERATIONS: Final = (
    Operation(id="listPeople", method="GET", path="/people", handler=list_people, access=Access.ADMIN, query=PageQuery),
    Operation(
        id="addPerson",
        method="POST",
        path="/people",
        handler=add_person,
        access=Access.ADMIN,
        body=PersonBody,
        creates=True,
    ),
    Operation(id="showPerson", method="GET", path=_ONE, handler=show_person, access=Access.ADMIN),
    Operation(
        id="changePerson", method="PATCH", path=_ONE, handler=change_person, access=Access.ADMIN, body=PersonChange
    ),
    Operation(id="removePerson", method="DELETE", path=_ONE, handler=remove_person, access=Access.ADMIN),
    Operation(
        id="makeLoginCode",
        method="POST",
        path=f"{_ONE}/codes",
        handler=make_code,
        access=Access.ADMIN,
        creates=True,
    ),
    Operation(
        id="makeReadingToken",
        method="POST",
        path=f"{_ONE}/tokens",
        handler=make_reading_token,
        access=Access.ADMIN,
        body=ReadingTokenBody,
        creates=True,
    ),
    Operation(
        id="listLogins",
        method="GET",
        path=f"{_ONE}/logins",
        handler=list_logins,
        access=Access.ADMIN,
        query=PageQuery,
    ),
    Operation(
        id="endLogin", method="DELETE", path=f"{_ONE}/logins/{{login_id}}", handler=end_login, access=Access.ADMIN
    ),
)
