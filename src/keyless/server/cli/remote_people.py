"""People over the API: the same methods as `People` over the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keyless.errors import ConfigurationError, ResponseError
from keyless.secret import Secret
from keyless.server.cli.api_client import ApiClient, path_of
from keyless.server.people.credentials import Code
from keyless.server.people.principal import Principal, PrincipalKind, RoleGrant
from keyless.server.representations import reading
from keyless.server.representations.principal import (
    login_from_json,
    principal_from_json,
    role_json,
    signed_in_from_json,
)
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
        code = Code.parse(reading.text(self.client.create(f"{path_of('people', name)}/codes").content, "code"))
        if code is None:
            raise ResponseError(f"{self.client.url} answered something that is no code")
        return code

    def make_reading_token(self, name: str, *, seconds: int) -> StartedLogin:
        """Make a machine's token that can only read."""
        content = self.client.create(f"{path_of('people', name)}/tokens", {"expires_in": seconds}).content
        return StartedLogin(Secret(reading.text(content, "token")), signed_in_from_json(content))

    def all_logins(self, name: str) -> list[LoginRecord]:
        """Return the logins of a principal that are good now."""
        return [login_from_json(item) for item in self.client.pages(f"{path_of('people', name)}/logins")]

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
