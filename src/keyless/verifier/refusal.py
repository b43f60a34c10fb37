"""How a resource server says no, whatever its framework (RFC 6750 section 3.1, D9). Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from keyless.errors import InsufficientScopeError, TokenError, UnavailableError
from keyless.verifier.bearer import challenge


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer: its status, headers and JSON body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def refusal(error: TokenError | UnavailableError | None, *, metadata_url: str | None = None) -> Refusal:
    """Return the answer to a request that may not go on.

    401 without an error code when there was no token, 401 for one that is not good, 403 for one that is good for
    something else, 503 with `Retry-After` when that cannot be known. It says which of these and no more.

    Args:
        error: What the verifier raised; `None` when a token is needed and none was sent.
        metadata_url: Where this resource server's metadata is; see `keyless.verifier.metadata`.
    """
    if isinstance(error, UnavailableError):
        seconds = str(max(1, math.ceil(error.retry_after)))
        return _answer(503, ("Retry-After", seconds), "temporarily_unavailable", "the token cannot be checked now")
    header = "WWW-Authenticate", challenge(error, metadata_url=metadata_url)
    if error is None:
        return _answer(401, header, "invalid_request", "this needs an access token")
    if isinstance(error, InsufficientScopeError):
        return _answer(403, header, "insufficient_scope", "the access token is good for something else")
    return _answer(401, header, "invalid_token", "the access token is not good, or not any more")


def _answer(status: int, header: tuple[str, str], error: str, description: str) -> Refusal:
    body = json.dumps({"error": error, "error_description": description}).encode()
    common = (("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"))
    return Refusal(status, (*common, header), body)
