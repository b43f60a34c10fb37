"""Signing in with a one-time code, looking who one is, signing out (D13)."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import StringConstraints

from keyless.secret import Secret
from keyless.server.api.call import Answer, Call
from keyless.server.api.operation import Access, Operation
from keyless.server.people.attempts import FailedAttempts
from keyless.server.people.credentials import LOGIN_SECONDS, MAX_TEXT_CHARS
from keyless.server.representations.fields import Closed, Name
from keyless.server.representations.principal import signed_in_json
from keyless.server.store.admin.logins import LoginRefusedError


class LoginBody(Closed):
    """Bring a one-time code; with the bootstrap code, say what the first admin is called."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"^[ -~]+$")]
    name: Name | None = None


class Logins:
    """Sign people in and out.

    Args:
        attempts: Bounds the failures.
    """

    def __init__(self, attempts: FailedAttempts) -> None:
        self._attempts = attempts

    def sign_in(self, call: Call) -> Answer:
        """Exchange a code for a login; the one answer that ever holds it."""
        body: LoginBody = call.body
        self._attempts.check(call.caller.address)
        try:
            started = call.people.redeem(Secret(body.code), name=body.name)
        except LoginRefusedError:
            self._attempts.failed(call.caller.address)
            raise
        content = {"token": started.secret.reveal(), "token_type": "Bearer", "expires_in": LOGIN_SECONDS}
        return Answer(201, {**content, **signed_in_json(started.signed_in)})

    def who_am_i(self, call: Call) -> Answer:
        """Return who is signed in."""
        return Answer(200, signed_in_json(call.signed_in))

    def sign_out(self, call: Call) -> Answer:
        """End the login that the call came with."""
        call.people.end_login(call.signed_in.login_id)
        return Answer(204, None)

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation(id="signIn", method="POST", path=PATH, handler=self.sign_in, access=Access.OPEN, body=LoginBody),
            Operation(id="whoAmI", method="GET", path=PATH, handler=self.who_am_i, access=Access.READ),
            Operation(id="signOut", method="DELETE", path=PATH, handler=self.sign_out, access=Access.READ),
        )


PATH: Final = "/login"
