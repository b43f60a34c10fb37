"""The `Authorization` header in, the `WWW-Authenticate` header out (RFC 6750, RFC 9728 section 5.1). Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from keyless.errors import InsufficientScopeError, MalformedTokenError, TokenError


def read_authorization(values: Sequence[str]) -> str | None:
    """Return the token of a request's `Authorization` headers, or `None` when it has none.

    `Bearer` carries the token itself, `Basic` carries it as the password: what git, pip and browsers send.

    Args:
        values: Every header of that name, as text.

    Raises:
        MalformedTokenError: More than one header, another scheme, or no token in it. Never read as "no token".
    """
    if not values:
        return None
    if len(values) > 1:  # a proxy and we could pick different ones (RFC 6750 section 2)
        raise MalformedTokenError("the request has more than one Authorization header")
    scheme, _, value = values[0].partition(" ")
    value = value.strip(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise MalformedTokenError("the Authorization header is not Basic") from None
    elif scheme.lower() != "bearer":
        raise MalformedTokenError("the Authorization header is neither Bearer nor Basic")
    if not value:
        raise MalformedTokenError("the Authorization header holds no token")
    return value


def challenge(error: TokenError | None = None, *, metadata_url: str | None = None, scope: Sequence[str] = ()) -> str:
    """Return the `WWW-Authenticate` header of a refusal (RFC 6750 section 3).

    Args:
        error: What is wrong with the token; `None` when there was none, which names no error code.
        metadata_url: Where the protected resource metadata is (RFC 9728 section 5.1).
        scope: The operations that would be needed.
    """
    parts = []
    if isinstance(error, InsufficientScopeError):
        parts.append('error="insufficient_scope"')
    elif error is not None:
        parts.append('error="invalid_token"')
    if scope:
        parts.append(f'scope="{" ".join(scope)}"')
    if metadata_url is not None:
        parts.append(f'resource_metadata="{metadata_url}"')
    return "Bearer " + ", ".join(parts) if parts else "Bearer"
