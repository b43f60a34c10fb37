"""FastAPI: a dependency for each route, which the OpenAPI document shows as a bearer token. Needs FastAPI.

may_write = Allowed(verifier, "write", "models/{namespace}/{name}")

@app.put("/models/{namespace}/{name}")
def upload(token: Annotated[VerifiedAccessToken, Depends(may_write)]): ...
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import HTTPException, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from keyless.errors import ConfigurationError, InsufficientScopeError, ResourceSyntaxError, TokenError, UnavailableError
from keyless.resource import Resource, parse_resource
from keyless.verifier.access_token import OPERATIONS, VerifiedAccessToken
from keyless.verifier.bearer import read_authorization
from keyless.verifier.refusal import refusal
from keyless.verifier.verifier import Verifier

_VARIABLE: Final = re.compile(r"\{([A-Za-z_]\w*)\}")


class Allowed(SecurityBase):
    """Demand a token that may do one operation on the resource that the path names.

    Args:
        verifier: Checks tokens; FastAPI calls this in a worker thread.
        operation: `read`, `write` or `create`.
        resource: A template over the route's path parameters, for example `models/{namespace}/{name}`.
        metadata_url: Where this resource server's metadata is (RFC 9728 section 5.1).

    Raises:
        ConfigurationError: There is no such operation.
    """

    def __init__(self, verifier: Verifier, operation: str, resource: str, *, metadata_url: str | None = None) -> None:
        if operation not in OPERATIONS:
            raise ConfigurationError(f"there is no operation {operation!r}")
        self._verifier = verifier
        self._operation = operation
        self._template = resource
        self._metadata_url = metadata_url
        self.scheme_name = "keyless"
        self.model = HTTPBearer(description=f"An access token that may {operation}.")

    def __call__(self, request: Request) -> VerifiedAccessToken:
        """Return the token.

        Raises:
            HTTPException: 401, 403 or 503.
        """
        error: TokenError | UnavailableError | None = None
        try:
            if (text := read_authorization(request.headers.getlist("authorization"))) is not None:
                return self._verifier.authorize(text, self._operation, self._resource(request))
        except (TokenError, UnavailableError) as caught:
            error = caught
        answer = refusal(error, metadata_url=self._metadata_url)
        headers = {name: value for name, value in answer.headers if not name.startswith("Content-")}
        raise HTTPException(answer.status, detail=None if error is None else error.code, headers=headers)

    def _resource(self, request: Request) -> Resource:
        try:
            return parse_resource(_VARIABLE.sub(lambda match: str(request.path_params[match[1]]), self._template))
        except ResourceSyntaxError:  # no token is for what has no name
            raise InsufficientScopeError("the path names no resource") from None
