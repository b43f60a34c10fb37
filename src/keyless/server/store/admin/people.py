"""The door to people and their logins: one object, one method for each thing done to them (D13)."""

from __future__ import annotations

from collections.abc import Iterable

from keyless.secret import Secret
from keyless.server.people.credentials import Code
from keyless.server.people.principal import Principal, PrincipalKind, RoleGrant, SignedIn
from keyless.server.store.admin import logins, principals
from keyless.server.store.admin.administration import Administration
from keyless.server.store.admin.logins import LoginRecord, LoginRefusedError, StartedLogin


class People:
    """Change and read who may manage trust, over an `Administration` and in the name of its actor.

    Raises what `Administration` raises.
    """

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    # --- principals ---

    def add(self, name: str, *, kind: PrincipalKind, roles: Iterable[RoleGrant]) -> Principal:
        """Add a person or a machine."""
        with self._administration.together() as change:
            return principals.add(change, name, kind, roles)

    def get(self, name: str) -> Principal:
        """Return one principal."""
        with self._administration.reading() as connection:
            return principals.get(connection, name)

    def page(self, *, after: str | None = None, limit: int = 100) -> list[Principal]:
        """Return principals in the order of their names."""
        with self._administration.reading() as connection:
            return principals.page(connection, after=after, limit=limit)

    def all(self) -> list[Principal]:
        """Return all principals in the order of their names."""
        found: list[Principal] = []
        while page := self.page(after=found[-1].name if found else None):
            found += page
        return found

    def set_roles(self, name: str, roles: Iterable[RoleGrant]) -> Principal:
        """Replace the roles of a principal."""
        with self._administration.together() as change:
            return principals.set_roles(change, name, roles)

    def set_enabled(self, name: str, *, enabled: bool) -> Principal:
        """Switch a principal on or off."""
        with self._administration.together() as change:
            return principals.set_enabled(change, name, enabled=enabled)

    def remove(self, name: str) -> Principal:
        """Remove a principal for good."""
        with self._administration.together() as change:
            return principals.remove(change, name)

    # --- signing in ---

    def make_bootstrap_code(self) -> Code:
        """Make the code that makes the first admin."""
        with self._administration.together() as change:
            return logins.make_bootstrap_code(change)

    def make_login_code(self, name: str) -> Code:
        """Make a one-time code for a person."""
        with self._administration.together() as change:
            return logins.make_login_code(change, name)

    def make_reading_token(self, name: str, *, seconds: int) -> StartedLogin:
        """Make a machine's token that can only read."""
        with self._administration.together() as change:
            return logins.make_reading_token(change, name, seconds=seconds)

    def redeem(self, code: Secret, *, name: str | None = None) -> StartedLogin:
        """Exchange a one-time code for a person's login.

        Raises:
            LoginRefusedError: The code is wrong, used, over, void, or was guessed at too often.
        """
        with self._administration.together() as change:
            started = logins.redeem(change, code.reveal(), name=name)
        if started is None:  # outside: the wrong try counts
            raise LoginRefusedError(
                "the code is not right, or not any more",
                hint="A code is good once, for 30 minutes and five tries. A new one: keyless admin code --for NAME",
            )
        return started

    def signed_in(self, login: Secret) -> SignedIn | None:
        """Return who presents this login, if it is good now."""
        with self._administration.reading() as connection:
            return logins.look_up(connection, login.reveal(), now=self._administration.now())

    def logins(self, name: str, *, after: str | None = None, limit: int = 100) -> list[LoginRecord]:
        """Return the logins of a principal that are good now."""
        with self._administration.reading() as connection:
            return logins.page(connection, name, now=self._administration.now(), after=after, limit=limit)

    def all_logins(self, name: str) -> list[LoginRecord]:
        """Return all logins of a principal that are good now."""
        found: list[LoginRecord] = []
        while page := self.logins(name, after=found[-1].id if found else None):
            found += page
        return found

    def end_login_of(self, name: str, login_id: str) -> bool:
        """End a login of the principal of this name; false when it has none of that id."""
        with self._administration.together():
            return self.end_login(login_id, of=self.get(name).id)

    def end_login(self, login_id: str, *, of: str | None = None) -> bool:
        """End a login at once; false when there is none of that id, or it is not of that principal id."""
        with self._administration.together() as change:
            return logins.end(change, login_id, of=of)
