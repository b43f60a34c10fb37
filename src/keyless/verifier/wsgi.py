"""WSGI middleware: no request reaches the application without a token that was checked. Standard library only.

    app = TokenMiddleware(app, verifier)

The application finds the token in `environ["keyless.token"]` and asks it what it is good for.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from keyless.errors import TokenError, UnavailableError
from keyless.verifier.bearer import read_authorization
from keyless.verifier.refusal import refusal
from keyless.verifier.verifier import Verifier

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

KEY: Final = "keyless.token"


class TokenMiddleware:
    """Verify the access token of every request.

    Args:
        app: The application.
        verifier: Checks tokens.
        optional: Let requests without a token pass, with `environ["keyless.token"]` `None`. One that is not good never
            passes.
        metadata_url: Where this resource server's metadata is (RFC 9728 section 5.1).
    """

    def __init__(
        self, app: WSGIApplication, verifier: Verifier, *, optional: bool = False, metadata_url: str | None = None
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._optional = optional
        self._metadata_url = metadata_url

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request. Servers join two headers of a name with a comma, which no token has in it."""
        header = environ.get("HTTP_AUTHORIZATION")
        error: TokenError | UnavailableError | None = None
        try:
            text = read_authorization([] if header is None else [header])
            token = None if text is None else self._verifier.verify(text)
        except (TokenError, UnavailableError) as caught:
            token, error = None, caught
        if error is None and (token is not None or self._optional):
            environ[KEY] = token
            return self._app(environ, start_response)
        answer = refusal(error, metadata_url=self._metadata_url)
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers))
        return [answer.body]
