"""A token for one resource that is always good: made when first asked for, replaced before it ends."""

from __future__ import annotations

import os

from keyless.client.attempts import mint_and_exchange, mint_and_exchange_once
from keyless.client.cache import refresh_margin, shared_cache
from keyless.client.environment import read_endpoint, read_resource, read_timeout_seconds
from keyless.client.exchange import require_online
from keyless.client.job_file import job_directory
from keyless.errors import OIDCConfigurationError
from keyless.http.deadline import Deadline
from keyless.http.fork import import_lock
from keyless.providers.detect import find_mint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from keyless.client.cache import TokenCache
    from keyless.client.exchange import ExchangedToken
    from keyless.client.job_cache import JobCache
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
        is_shared: Whether the other processes of the job may use the same token, where the CI platform has a directory
            that it deletes with the job. Say False for a token that will be revoked before the job ends.

    It can be the `auth=` of requests, httpx and httpx2, whose clients then always have a good token. For `HfApi`, which
    wants a text, give `token=credential.token()` to each call.

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
        is_shared: bool = True,
    ) -> None:
        self._resource = resource
        self._endpoint = endpoint
        self._audience = audience
        self._environ = environ
        self._cache = shared_cache if cache is None else cache
        self._is_shared = is_shared

    def __repr__(self) -> str:
        return f"Credential(resource={self._resource!r}, endpoint={self._endpoint!r})"

    def token(self) -> str:
        """Return an access token that is good now.

        Raises:
            OIDCError: None could be had; the child says why (see `keyless.errors`).
        """
        return self.exchanged().access_token.reveal()

    def __call__(self, request: Any) -> Any:
        """Put the token into a request's header: this makes the credential an `auth=` of requests, httpx and httpx2.

        A `urllib.request.Request` is taken as well; there the header is not carried along when the server redirects.

        Args:
            request: About to be sent, over https or to this machine. Whose host it is, is not looked at: give the
                credential to requests for the service and what trusts its tokens.

        Raises:
            OIDCError: No token could be had.
            OIDCConfigurationError: The request would show the token to the network (D27).
        """
        with import_lock:
            from keyless.http.url import parse_url, require_secure

        environ = os.environ if self._environ is None else self._environ
        url, _, _fragment = str(getattr(request, "full_url", None) or request.url).partition("#")
        require_secure(parse_url(url, name="the request's URL"), environ=environ)
        value = f"Bearer {self.token()}"
        unredirected = getattr(request, "add_unredirected_header", None)
        if unredirected is not None:
            unredirected("Authorization", value)
        else:
            request.headers["Authorization"] = value
        return request

    def exchanged(self) -> ExchangedToken:
        """Return the token with its lifetime; otherwise as `token`."""
        request = self._resolve()
        cached = self._cache.peek(request.key)
        if cached is not None:
            return cached
        deadline = Deadline(read_timeout_seconds(request.environ))
        return self._cache.get(
            request.key,
            refresh_early=request.found.mints_anew,
            make=lambda: self._make(request, deadline),
            deadline=deadline,
        )

    def _make(self, request: _Resolved, deadline: Deadline) -> ExchangedToken:
        require_online(request.environ)  # before minting: an id token for nothing would be thrown away
        can_wait = not self._cache.has_good(request.key)

        def make(is_urgent: bool) -> ExchangedToken:
            attempt = mint_and_exchange if is_urgent and can_wait else mint_and_exchange_once
            return attempt(
                request.found,
                request.resource,
                audience=request.audience,
                endpoint=request.endpoint,
                deadline=deadline,
                environ=request.environ,
            )

        shared = request.job_cache() if self._is_shared else None
        if shared is None:
            return make(True)
        margin = refresh_margin if request.found.mints_anew else _no_margin
        return shared.get(make=make, margin=margin, deadline=deadline)

    def forget(self, access_token: str) -> None:
        """Drop a token that the service no longer takes, here and in the job, so that the next call makes a new one.

        Raises:
            OIDCError: The job's way to an id token is gone from the environment.
        """
        request = self._resolve()
        kept = self._cache.peek(request.key)
        if kept is not None and kept.access_token == Secret(access_token):
            self._cache.forget(request.key)
        shared = request.job_cache()
        if shared is not None:
            shared.forget(access_token)

    def refresh_in(self) -> float | None:
        """Return the seconds until the cached token is replaced, or `None` when there is none.

        Raises:
            OIDCError: The job's way to an id token is gone from the environment.
        """
        return self._cache.refresh_in(self._resolve().key)

    def _resolve(self) -> _Resolved:
        environ = os.environ if self._environ is None else self._environ
        endpoint = read_endpoint(environ, self._endpoint)
        resource = read_resource(environ, self._resource)
        if not resource:
            raise OIDCConfigurationError(
                "no resource to get a token for",
                hint="Set HF_OIDC_RESOURCE, for example to namespace/name, datasets/namespace/name or a user name.",
            )
        audience = self._audience or endpoint
        return _Resolved(environ, endpoint, audience, resource, find_mint(environ, audience))


def _no_margin(_lifetime_seconds: float) -> float:
    return 0.0  # the one id token is not sent again before the end (S7)


class _Resolved:
    """What one call resolved to; its key says which calls may share a token."""

    __slots__ = ("audience", "endpoint", "environ", "found", "key", "resource")

    def __init__(self, environ: Mapping[str, str], endpoint: str, audience: str, resource: str, found: CanMint) -> None:
        self.environ = environ
        self.endpoint = endpoint
        self.audience = audience
        self.resource = resource
        self.found = found
        self.key = (endpoint, audience, resource, found.provider, found.identity)

    def job_cache(self) -> JobCache | None:
        """Return the file that the processes of the job share, where there is one."""
        if job_directory(self.environ) is None:
            return None
        with import_lock:
            from keyless.client.job_cache import open_job_cache

        return open_job_cache(
            self.environ, endpoint=self.endpoint, audience=self.audience, resource=self.resource, found=self.found
        )
