"""Where a token comes from, in which order (S1): argument, environment, token file, OIDC.

OIDC is the last resort as the origin's text has it; `KEYLESS_PRECEDENCE=first` puts it before the environment.
"""

from __future__ import annotations

import os
from time import monotonic

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
    from collections.abc import Callable, Mapping
    from typing import Final

    from keyless.client.cache import TokenCache

    # until when (monotonic seconds), how to look up a variable, what the variables were, the cache and its `changes`,
    # the token
    _Recent = tuple[float, Callable[[bytes], bytes | None], tuple[bytes | None, ...], TokenCache, int, str]

MAX_TOKEN_FILE_CHARS: Final = 65_536

RECENT_SECONDS: Final = 1.0  # how late a change of the token file, or of how the job mints, may be noticed

# The last exchanged token, for programs that ask at every request: reading a variable through `os.environ` alone costs
# more than all of this. The variables that decide whose token it is are looked at in every call all the same.
_recent: _Recent | None = None
_RECENT_VARIABLES: Final = (  # `get_token` looks them up in this order
    b"HF_OIDC_RESOURCE",
    b"HF_ENDPOINT",
    b"HF_TOKEN",
    b"HUGGING_FACE_HUB_TOKEN",
    b"HF_OIDC_ID_TOKEN",
)

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
    is_usual = token is None and resource is None and endpoint is None and precedence is None and environ is None
    recent = _recent
    if is_usual and recent is not None:
        until, get, seen, cache, changes, known = recent
        if (
            monotonic() < until
            and changes == cache.changes
            and seen
            == (
                get(b"HF_OIDC_RESOURCE"),
                get(b"HF_ENDPOINT"),
                get(b"HF_TOKEN"),
                get(b"HUGGING_FACE_HUB_TOKEN"),
                get(b"HF_OIDC_ID_TOKEN"),
            )
        ):
            return known
    explicit = clean(token)
    if explicit:
        return explicit
    environ = os.environ if environ is None else environ
    if is_set(environ, "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return _exchange(read_resource({}, resource), endpoint, environ) if clean(resource) else None
    wanted = read_resource(environ, resource)
    if wanted and read_precedence(environ, precedence) == "first":
        return _exchange(wanted, endpoint, environ, is_usual=is_usual)
    stored, source = find_stored_token(environ)
    if stored:
        if wanted:
            _warn_shadow(source)
        return stored
    return _exchange(wanted, endpoint, environ, is_usual=is_usual) if wanted else None


def _exchange(resource: str, endpoint: str | None, environ: Mapping[str, str], *, is_usual: bool = False) -> str:
    global _recent  # noqa: PLW0603  # one process has one environment
    with import_lock:
        from keyless.client.cache import shared_cache
        from keyless.client.credential import Credential

    variables = getattr(os.environ, "_data", None)  # names and values as bytes, where the system has them so
    get = variables.get if is_usual and os.name == "posix" and isinstance(variables, dict) else None
    seen = () if get is None else tuple(get(name) for name in _RECENT_VARIABLES)
    credential = Credential(resource, endpoint, environ=environ)
    token = credential.token()
    changes = shared_cache.changes
    if get is not None:
        until = monotonic() + min(RECENT_SECONDS, credential.refresh_in() or 0.0)
        _recent = (until, get, seen, shared_cache, changes, token)
    return token


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
