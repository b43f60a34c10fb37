"""Get a token of a package registry for this job: its audience, an id token, the exchange (D22)."""

from __future__ import annotations

import os
from importlib import import_module
from urllib.parse import urlsplit

from keyless.client.attempts import mint_and_exchange
from keyless.client.environment import clean, read_endpoint, read_timeout_seconds
from keyless.errors import OIDCConfigurationError
from keyless.http.deadline import Deadline
from keyless.providers.detect import find_mint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Protocol

    from keyless.client.exchange import ExchangedToken
    from keyless.secret import Secret

    class Dialect(Protocol):
        """What a file of this room holds."""

        NEEDS_PACKAGE: bool

        def read_audience(self, endpoint: str, *, deadline: Deadline, environ: Mapping[str, str]) -> str:
            """Return the audience to ask the CI platform for."""

        def exchange(
            self, id_token: Secret, endpoint: str, package: str, *, deadline: Deadline, environ: Mapping[str, str]
        ) -> ExchangedToken:
            """Exchange an id token."""

        def variables(self, endpoint: str, token: Secret, folder: str) -> dict[str, str]:
            """Return what the registry's tools read, with any file they want written into a private folder."""


KINDS: Final = ("pypi", "npm", "oci")


def find_dialect(kind: str) -> Dialect:
    """Return the dialect of a kind of registry.

    Raises:
        OIDCConfigurationError: There is none of that name.
    """
    if kind not in KINDS:
        raise OIDCConfigurationError(f"{kind[:40]!r} is no kind of registry; there are {', '.join(KINDS)}")
    dialect: Dialect = import_module(f"keyless.client.registries.{kind}")
    return dialect


def registry_login(
    kind: str,
    *,
    endpoint: str | None = None,
    package: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ExchangedToken:
    """Get the job's id token and exchange it at a package registry, uncached.

    Args:
        kind: `pypi`, `npm` or `oci`.
        endpoint: The registry's URL, as its tools are given it.
        package: What the token is for, where the registry's protocol names it: an npm package, an image's path.
        environ: Variables to use; the process's own by default.

    Raises:
        OIDCError: No token could be had; the child says why.
    """
    environ = os.environ if environ is None else environ
    dialect = find_dialect(kind)
    if not clean(endpoint):
        raise OIDCConfigurationError(
            f"there is no {kind} registry to get a token for", hint="Name its URL: --endpoint https://…"
        )
    base = read_endpoint(environ, endpoint)
    name = clean(package).removeprefix(f"{kind}/")
    if dialect.NEEDS_PACKAGE and not name:
        raise OIDCConfigurationError(f"a token of an {kind} registry is for one package", hint="Pass --resource NAME.")
    deadline = Deadline(read_timeout_seconds(environ))
    audience = dialect.read_audience(base, deadline=deadline, environ=environ)
    return mint_and_exchange(
        find_mint(environ, audience),
        name,
        audience=audience,
        endpoint=base,
        deadline=deadline,
        environ=environ,
        exchange=lambda id_token, attempt: dialect.exchange(id_token, base, name, deadline=attempt, environ=environ),
    )


def host_of(endpoint: str) -> str:
    """Return host and port of a registry's URL."""
    return urlsplit(endpoint).netloc


def root_of(endpoint: str) -> str:
    """Return the root of the host of a registry's URL, where some protocols have their endpoints."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"
