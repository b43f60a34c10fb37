"""Who calls: from the `Authorization` header to a principal, or to a refusal (D13, T99)."""

from __future__ import annotations

from keyless.secret import Secret
from keyless.server.api.operation import Access, Operation
from keyless.server.api.problems import CHALLENGE, ProblemError
from keyless.server.people.attempts import FailedAttempts
from keyless.server.people.credentials import is_of_a_machine
from keyless.server.people.principal import SignedIn
from keyless.server.store.admin import People

SIGN_IN_HINT = "Sign in: keyless admin login --url URL"


class Gate:
    """Let in who has a good login with the rights that an operation needs.

    Args:
        people: Looks logins up.
        attempts: Bounds the failures.
    """

    def __init__(self, people: People, attempts: FailedAttempts) -> None:
        self._people = people
        self._attempts = attempts

    def enter(self, operation: Operation, authorization: str, address: str | None) -> SignedIn | None:
        """Return who calls, or `None` for an operation that anybody may call.

        Raises:
            ProblemError: 401 without a good login, 403 when its rights are too few.
            RateLimitedError: Too many failed.
        """
        if operation.access is Access.OPEN:
            return None
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise ProblemError(
                401, "login_required", "the header Authorization has no login", hint=SIGN_IN_HINT, headers=CHALLENGE
            )
        signed_in = self._people.signed_in(Secret(text))
        if signed_in is None:
            self._attempts.check(address)
            self._attempts.failed(address)
            if is_of_a_machine(text):
                # T99: a token that a CI job holds, whether ours or its platform's, manages nothing.
                raise ProblemError(
                    401,
                    "machine_token",
                    "a machine's token never manages trust; a person's login does",
                    hint=SIGN_IN_HINT,
                    headers=CHALLENGE,
                )
            raise ProblemError(
                401, "login_unknown", "this login is not known, or it ended", hint=SIGN_IN_HINT, headers=CHALLENGE
            )
        self._check(operation, signed_in)
        return signed_in

    def _check(self, operation: Operation, signed_in: SignedIn) -> None:
        name = signed_in.principal.name
        if operation.access in {Access.CHANGE, Access.ADMIN} and signed_in.read_only:
            raise ProblemError(403, "read_only_login", "this login can only read", hint=SIGN_IN_HINT)
        if operation.access is Access.ADMIN and not signed_in.is_admin:
            raise ProblemError(403, "admin_required", f"{name} is no admin")
        if operation.access is Access.ADMIN_READ and not signed_in.reads_everything:
            raise ProblemError(403, "forbidden", f"{name} may not look everywhere")
