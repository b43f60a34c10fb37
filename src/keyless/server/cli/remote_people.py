"""People over the API: the same methods as `People` over the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keyless.errors import ConfigurationError, ResponseError
from keyless.secret import Secret
from keyless.server.cli.api_client import ApiClient, path_of
from keyless.server.people.credentials import Code
from keyless.server.people.principal import EVERYWHERE, Principal, PrincipalKind, Role, RoleGrant, SignedIn
from keyless.server.representations.principal import role_json
from keyless.server.store.admin.logins import LoginRecord, StartedLogin


@dataclass(frozen=True, slots=True)
class RemotePeople:
    """Ask the API."""

    client: ApiClient

    def add(self, name: str, *, kind: PrincipalKind, roles: Iterable[RoleGrant]) -> Principal:
        """Add a person or a machine."""
        body = {"name": name, "kind": kind.value, "roles": [role_json(grant) for grant in roles]}
        return principal_from_json(self.client.create("/people", body).content)

    def get(self, name: str) -> Principal:
        """Return one principal."""
        return principal_from_json(self.client.get(path_of("people", name)).content)

    def all(self) -> list[Principal]:
        """Return all principals."""
        return [principal_from_json(item) for item in self.client.pages("/people")]

    def set_roles(self, name: str, roles: Iterable[RoleGrant]) -> Principal:
        """Replace the roles of a principal."""
        return self._change(name, {"roles": [role_json(grant) for grant in roles]})

    def set_enabled(self, name: str, *, enabled: bool) -> Principal:
        """Switch a principal on or off."""
        return self._change(name, {"enabled": enabled})

    def remove(self, name: str) -> Principal:
        """Remove a principal for good."""
        path = path_of("people", name)
        found = self.client.get(path)
        self.client.call("DELETE", path, headers={"If-Match": found.etag})
        return principal_from_json(found.content)

    def make_login_code(self, name: str) -> Code:
        """Make a one-time code for a person."""
        code = Code.parse(_text(self.client.create(f"{path_of('people', name)}/codes").content, "code"))
        if code is None:
            raise ResponseError(f"{self.client.url} answered something that is no code")
        return code

    def make_reading_token(self, name: str, *, seconds: int) -> StartedLogin:
        """Make a machine's token that can only read."""
        content = self.client.create(f"{path_of('people', name)}/tokens", {"expires_in": seconds}).content
        return StartedLogin(Secret(_text(content, "token")), signed_in_from_json(content))

    def all_logins(self, name: str) -> list[LoginRecord]:
        """Return the logins of a principal that are good now."""
        return [_login(item) for item in self.client.pages(f"{path_of('people', name)}/logins")]

    def end_login_of(self, name: str, login_id: str) -> bool:
        """End a login of a principal."""
        try:
            self.client.call("DELETE", path_of("people", name, "logins", login_id))
        except ConfigurationError:
            return False
        return True

    def _change(self, name: str, body: Mapping[str, object]) -> Principal:
        path = path_of("people", name)
        etag = self.client.get(path).etag
        return principal_from_json(self.client.call("PATCH", path, body=body, headers={"If-Match": etag}).content)


def principal_from_json(content: Mapping[str, object]) -> Principal:
    """Read what `principal_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    roles = content.get("roles")
    try:
        if not isinstance(roles, list):
            raise TypeError("roles")
        return Principal(
            id="",
            name=_text(content, "name"),
            kind=PrincipalKind(_text(content, "kind")),
            enabled=bool(content["enabled"]),
            version=_number(content, "version"),
            roles=tuple(RoleGrant(Role(item["role"]), item["namespace"] or EVERYWHERE) for item in roles),
            created_by=_text(content, "created_by"),
            created_at=_number(content, "created_at"),
        )
    except (KeyError, TypeError, ValueError):
        raise ResponseError("the management API answered something that is no person or machine") from None


def signed_in_from_json(content: Mapping[str, object]) -> SignedIn:
    """Read what `signed_in_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    principal = content.get("principal")
    if not isinstance(principal, dict):
        raise ResponseError("the management API answered something that is no login")
    return SignedIn(
        principal_from_json(principal),
        _text(content, "login"),
        _number(content, "expires_at"),
        content.get("read_only") is not False,
    )


def _login(content: Mapping[str, object]) -> LoginRecord:
    return LoginRecord(
        _text(content, "id"),
        _text(content, "principal"),
        content.get("read_only") is not False,
        _text(content, "created_by"),
        _number(content, "created_at"),
        _number(content, "expires_at"),
    )


def _text(content: Mapping[str, object], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise ResponseError(f"the management API answered without {name}")
    return value


def _number(content: Mapping[str, object], name: str) -> int:
    value = content.get(name)
    if not isinstance(value, int):
        raise ResponseError(f"the management API answered without {name}")
    return value
