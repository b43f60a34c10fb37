"""Starlette: an authentication backend, and one call in a route. Needs Starlette.

    app.add_middleware(AuthenticationMiddleware, backend=TokenBackend(verifier), on_error=refuse)

    async def upload(request):
        token = authorize(request, "write", parse_resource("acme/model"))

`request.user.token` is the verified token, and `request.auth.scopes` are its operations.
"""

from __future__ import annotations

from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from keyless.errors import InsufficientScopeError, TokenError, UnavailableError
from keyless.resource import Resource
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.bearer import read_authorization
from keyless.verifier.refusal import refusal
from keyless.verifier.verifier import Verifier


class TokenUser(BaseUser):
    """The CI job behind a request. `token` says what it may do."""

    def __init__(self, token: VerifiedAccessToken) -> None:
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        """Return true: there is no such user without a verified token."""
        return True

    @property
    def display_name(self) -> str:
        """Return the job, in its CI platform's words."""
        return self.token.ci_subject

    @property
    def identity(self) -> str:
        """Return the publisher as a URN."""
        return self.token.subject


class TokenBackend(AuthenticationBackend):
    """Verify the access token of a request, in a worker thread; one without a token is an unauthenticated user's."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return who sent a request.

        Raises:
            AuthenticationError: The token is not good, or that cannot be known; `refuse` answers.
        """
        try:
            text = read_authorization(conn.headers.getlist("authorization"))
            if text is None:
                return None
            token = await run_in_threadpool(self._verifier.verify, text)
        except (TokenError, UnavailableError) as error:
            raise AuthenticationError(error.code) from error
        return AuthCredentials(sorted(token.operations)), TokenUser(token)


def refuse(_connection: HTTPConnection, error: Exception) -> Response:
    """Answer a request whose token is not good: give it to `AuthenticationMiddleware` as `on_error`."""
    cause = error.__cause__
    answer = refusal(cause if isinstance(cause, TokenError | UnavailableError) else TokenError(str(error)))
    return Response(answer.body, answer.status, dict(answer.headers))


def authorize(request: HTTPConnection, operation: str, resource: Resource) -> VerifiedAccessToken:
    """Return the token of a request that may do one thing with one resource.

    Raises:
        HTTPException: 401 without a token, 403 with one that is good for something else.
    """
    user = request.user
    if isinstance(user, TokenUser) and user.token.allows(operation, resource):
        return user.token
    error = InsufficientScopeError("good for something else") if isinstance(user, TokenUser) else None
    answer = refusal(error)
    challenge = dict(answer.headers)["WWW-Authenticate"]
    raise HTTPException(answer.status, headers={"WWW-Authenticate": challenge, "Cache-Control": "no-store"})
