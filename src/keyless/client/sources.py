"""Where a token comes from, in which order (S1): argument, environment, token file, OIDC.

OIDC is the last resort as the origin's text has it; `KEYLESS_PRECEDENCE=first` puts it before the environment.
"""

from __future__ import annotations

import os

from keyless.client.environment import (
    RESOURCE_VARIABLE,
    TOKEN_VARIABLES,
    clean,
    is_set,
    read_precedence,
    read_resource,
    token_path,
)
from keyless.errors import OIDCConfigurationError
from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

MAX_TOKEN_FILE_CHARS: Final = 65_536

_warned: set[str] = set()  # once per process


def get_token(
    token: str | None = None,
    *,
    resource: str | None = None,
    endpoint: str | None = None,
    precedence: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> str | None:
    """Return the token to use, from the first source that has one, or `None` where none is configured.

    OIDC counts as configured when `HF_OIDC_RESOURCE` is set or `resource` is given; from then on every failure raises
    and no call goes unauthenticated (S6). With `HF_HUB_DISABLE_IMPLICIT_TOKEN` only an explicit token is returned, or
    one for an explicit `resource`; nothing is exchanged for nothing.

    Args:
        token: An explicit token; wins over everything.
        resource: What an exchanged token is for; `HF_OIDC_RESOURCE` by default.
        endpoint: Base URL of the service; `HF_ENDPOINT`, else the Hub, by default.
        precedence: `last` (default) or `first`: where OIDC stands; `KEYLESS_PRECEDENCE` by default.
        environ: Variables to use; the process's own by default.

    Raises:
        OIDCError: OIDC is configured, comes to be used, and gives no token; the child says why.
    """
    explicit = clean(token)
    if explicit:
        return explicit
    environ = os.environ if environ is None else environ
    if is_set(environ, "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return _exchange(read_resource({}, resource), endpoint, environ) if clean(resource) else None
    wanted = read_resource(environ, resource)
    if wanted and read_precedence(environ, precedence) == "first":
        return _exchange(wanted, endpoint, environ)
    stored, source = find_stored_token(environ)
    if stored:
        if wanted:
            _warn_shadow(source)
        return stored
    return _exchange(wanted, endpoint, environ) if wanted else None


def _exchange(resource: str, endpoint: str | None, environ: Mapping[str, str]) -> str:
    with import_lock:
        from keyless.client.credential import Credential

    return Credential(resource, endpoint, environ=environ).token()


def find_stored_token(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return a stored token and the name of where it was found; both are empty when there is none.

    Raises:
        OIDCConfigurationError: The token file is there but cannot be read. The message never shows its content.
    """
    for name in TOKEN_VARIABLES:
        value = clean(environ.get(name))
        if value:
            return value, name
    path = token_path(environ)
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  # pathlib costs the cold path 3 ms
            value = clean(file.read(MAX_TOKEN_FILE_CHARS))
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except (OSError, ValueError) as error:  # UnicodeDecodeError, and a null character in the path
        raise OIDCConfigurationError(
            f"the token file {path!r} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})",
            hint="Remove it, or point HF_TOKEN_PATH somewhere else.",
        ) from None
    return (value, f"the token file {path}") if value else ("", "")


def _warn_shadow(source: str) -> None:
    """Say once per process that OIDC was configured and did not count."""
    if "shadow" in _warned:
        return
    _warned.add("shadow")
    with import_lock:
        import logging

    logging.getLogger("keyless").warning(
        "%s is set, but %s holds a token and wins: nothing was exchanged. Remove that token, or set "
        "KEYLESS_PRECEDENCE=first.",
        RESOURCE_VARIABLE,
        source,
    )
