"""A token for one resource that is always good: made when first asked for, replaced before it ends."""

from __future__ import annotations

import os

from keyless.client.cache import shared_cache
from keyless.client.environment import read_endpoint, read_resource, read_timeout_seconds
from keyless.client.exchange import exchange_oidc_token, require_online
from keyless.errors import OIDCConfigurationError
from keyless.http.deadline import Deadline
from keyless.providers.detect import find_mint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyless.client.cache import TokenCache
    from keyless.client.exchange import ExchangedToken
    from keyless.providers.base import CanMint


class Credential:
    """Give tokens for one resource, from any thread and in forked children.

    The id token is found and the environment is read at every call; equal credentials share one cached token.

    Args:
        resource: What the tokens are for; `HF_OIDC_RESOURCE` by default.
        endpoint: Base URL of the service; `HF_ENDPOINT`, else the Hub, by default.
        audience: What to ask the CI platform for as `aud`; the endpoint by default, which is what services expect.
        environ: Variables to use; the process's own by default.
        cache: Where tokens are kept; the process's own by default.

    Example:
        >>> Credential("datasets/acme/data", "https://hub.example.org")
        Credential(resource='datasets/acme/data', endpoint='https://hub.example.org')
    """

    def __init__(
        self,
        resource: str | None = None,
        endpoint: str | None = None,
        *,
        audience: str | None = None,
        environ: Mapping[str, str] | None = None,
        cache: TokenCache | None = None,
    ) -> None:
        self._resource = resource
        self._endpoint = endpoint
        self._audience = audience
        self._environ = environ
        self._cache = shared_cache if cache is None else cache

    def __repr__(self) -> str:
        return f"Credential(resource={self._resource!r}, endpoint={self._endpoint!r})"

    def token(self) -> str:
        """Return an access token that is good now.

        Raises:
            OIDCError: None could be had; the child says why (see `keyless.errors`).
        """
        return self.exchanged().access_token.reveal()

    def exchanged(self) -> ExchangedToken:
        """Return the token with its lifetime; otherwise as `token`."""
        request = self._resolve()
        cached = self._cache.peek(request.key)
        if cached is not None:
            return cached
        found, environ = request.found, request.environ
        deadline = Deadline(read_timeout_seconds(environ))

        def make() -> ExchangedToken:
            require_online(environ)  # before minting: an id token for nothing would be thrown away
            id_token = found.mint(request.audience, deadline=deadline, environ=environ)
            return exchange_oidc_token(
                id_token, request.resource, endpoint=request.endpoint, deadline=deadline, environ=environ
            )

        return self._cache.get(request.key, refresh_early=found.mints_anew, make=make, deadline=deadline)

    def refresh_in(self) -> float | None:
        """Return the seconds until the cached token is replaced, or `None` when there is none.

        Raises:
            OIDCError: The job's way to an id token is gone from the environment.
        """
        return self._cache.refresh_in(self._resolve().key)

    def _resolve(self) -> _Request:
        environ = os.environ if self._environ is None else self._environ
        endpoint = read_endpoint(environ, self._endpoint)
        resource = read_resource(environ, self._resource)
        if not resource:
            raise OIDCConfigurationError(
                "no resource to get a token for",
                hint="Set HF_OIDC_RESOURCE, for example to namespace/name, datasets/namespace/name or a user name.",
            )
        audience = self._audience or endpoint
        return _Request(environ, endpoint, audience, resource, find_mint(environ, audience))


class _Request:
    """What one call resolved to; its key says which calls may share a token."""

    __slots__ = ("audience", "endpoint", "environ", "found", "key", "resource")

    def __init__(self, environ: Mapping[str, str], endpoint: str, audience: str, resource: str, found: CanMint) -> None:
        self.environ = environ
        self.endpoint = endpoint
        self.audience = audience
        self.resource = resource
        self.found = found
        self.key = (endpoint, audience, resource, found.provider, found.identity)
