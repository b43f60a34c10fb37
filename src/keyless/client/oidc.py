"""The two steps by hand: get the CI job's id token, and log in with it. Nothing is cached here."""

from __future__ import annotations

import os

from keyless.client.attempts import Retries, mint, mint_and_exchange
from keyless.client.environment import clean, read_endpoint, read_resource, read_timeout_seconds
from keyless.client.exchange import require_online
from keyless.errors import OIDCConfigurationError
from keyless.http.deadline import Deadline
from keyless.providers.base import CanMint
from keyless.providers.detect import ORDER, find_mint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyless.client.exchange import ExchangedToken


def get_oidc_token(
    *,
    provider: str | None = None,
    audience: str | None = None,
    endpoint: str | None = None,
    deadline: Deadline | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Return the CI job's raw id token, minted where the platform can, handed over elsewhere.

    Args:
        provider: Insist on this platform (`github`, `gitlab` or `handed-over`); detected by default.
        audience: The `aud` to ask for; the endpoint by default.
        endpoint: Base URL of the service; `HF_ENDPOINT`, else the Hub, by default.
        deadline: Time for everything; `KEYLESS_TIMEOUT` seconds, else 30, by default.
        environ: Variables to use; the process's own by default.

    Raises:
        ProviderNotFoundError: No CI platform that can give an id token was found.
        IdTokenPermissionError: The job may not have an id token; the hint holds the lines to add.
        MintError: The platform refused or is failing (`MintUnavailableError`).
        AudienceError: The one token there is, is meant for another audience.
    """
    environ = os.environ if environ is None else environ
    audience = clean(audience) or read_endpoint(environ, endpoint)
    found = find_mint(environ, audience, only=_check_provider(provider))
    deadline = deadline or Deadline(read_timeout_seconds(environ))
    return mint(found, audience, environ=environ, retries=Retries(deadline)).reveal()


def _check_provider(provider: str | None) -> str | None:
    names = [known.NAME for known in ORDER]
    if provider is None or provider in names:
        return provider
    raise OIDCConfigurationError(f"provider {provider[:40]!r} is not one of {', '.join(names)}")


def oidc_login(
    *,
    resource: str | None = None,
    subject_token: str | None = None,
    provider: str | None = None,
    audience: str | None = None,
    endpoint: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ExchangedToken:
    """Get the job's id token and exchange it, uncached.

    Args:
        resource: What the access token is for; `HF_OIDC_RESOURCE` by default.
        subject_token: An id token to exchange instead of the job's own.
        provider: Insist on this platform; detected by default.
        audience: The `aud` to ask for; the endpoint by default.
        endpoint: Base URL of the service; `HF_ENDPOINT`, else the Hub, by default.
        environ: Variables to use; the process's own by default.

    Raises:
        OIDCError: No token could be had; the child says why (see `keyless.errors`).
    """
    environ = os.environ if environ is None else environ
    endpoint = read_endpoint(environ, endpoint)
    resource = read_resource(environ, resource)
    if not resource:
        raise OIDCConfigurationError("no resource to get a token for", hint="Pass resource=, or set HF_OIDC_RESOURCE.")
    require_online(environ)
    audience = clean(audience) or endpoint
    given = clean(subject_token)
    found = _Given(Secret(given)) if given else find_mint(environ, audience, only=_check_provider(provider))
    return mint_and_exchange(
        found,
        resource,
        audience=audience,
        endpoint=endpoint,
        deadline=Deadline(read_timeout_seconds(environ)),
        environ=environ,
    )


class _Given(CanMint):
    """The id token that the caller brought."""

    __slots__ = ()

    def __init__(self, token: Secret) -> None:
        super().__init__("given", identity=token, mints_anew=False, variables=())

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:  # noqa: ARG002  # one shape
        return self.identity
