"""The variables a job configures the client with, read at every call because a step may change them.

Names and meanings are huggingface_hub's where it has them, so that one configuration serves both.
"""

from __future__ import annotations

import os

from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal

    from keyless.errors import OIDCConfigurationError

    Precedence = Literal["first", "last"]

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
DEFAULT_TIMEOUT_SECONDS: Final = 30.0  # for a whole resolution: mint, exchange and everything between
MAX_TIMEOUT_SECONDS: Final = 600.0
TOKEN_VARIABLES: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # in this order
RESOURCE_VARIABLE: Final = "HF_OIDC_RESOURCE"
_TRUE: Final = frozenset({"1", "on", "yes", "true"})


def _wrong(message: str, *, hint: str | None = None) -> OIDCConfigurationError:
    from keyless.errors import OIDCConfigurationError  # a job that finds its token in a file has no use for it

    return OIDCConfigurationError(message, hint=hint)


def clean(value: str | None) -> str:
    """Return a value without the line breaks and blanks that pasting leaves; empty means unset."""
    return "" if value is None else value.replace("\r", "").replace("\n", "").strip()


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Return whether a switch is on, with huggingface_hub's words for true."""
    return environ.get(name, "").strip().lower() in _TRUE


def read_endpoint(environ: Mapping[str, str], endpoint: str | None = None) -> str:
    """Return the service's base URL without trailing slash: the argument, `HF_ENDPOINT`, or the Hub.

    Raises:
        OIDCConfigurationError: It is not a usable URL.
    """
    name = "the endpoint" if clean(endpoint) else "HF_ENDPOINT"
    text = clean(endpoint) or clean(environ.get("HF_ENDPOINT"))
    if not text:
        return DEFAULT_ENDPOINT
    if text in _checked_endpoints:
        return _checked_endpoints[text]
    with import_lock:
        from keyless.http.url import parse_endpoint

    checked = parse_endpoint(text, name=name)
    if len(_checked_endpoints) < 64:  # a cached get_token() should not parse a URL again
        _checked_endpoints[text] = checked
    return checked


_checked_endpoints: dict[str, str] = {}


def read_resource(environ: Mapping[str, str], resource: str | None = None) -> str:
    """Return the resource the token is for: the argument, else `HF_OIDC_RESOURCE`, else the empty string.

    Raises:
        OIDCConfigurationError: It holds blanks or control characters. What a resource may be is the service's to say.
    """
    text = clean(resource) or clean(environ.get(RESOURCE_VARIABLE))
    if text and (not text.isprintable() or " " in text):
        raise _wrong(
            f"the resource {text[:100]!r} holds blanks or control characters",
            hint="It looks like namespace/name, datasets/namespace/name or a user name.",
        )
    return text


def read_precedence(environ: Mapping[str, str], precedence: str | None = None) -> Precedence:
    """Return whether OIDC comes first or last: the argument, else `KEYLESS_PRECEDENCE`, else last (S1).

    Raises:
        OIDCConfigurationError: It is neither.
    """
    text = (clean(precedence) or clean(environ.get("KEYLESS_PRECEDENCE")) or "last").lower()
    if text == "first":
        return "first"
    if text == "last":
        return "last"
    name = "precedence" if clean(precedence) else "KEYLESS_PRECEDENCE"
    raise _wrong(f"{name} is {text[:40]!r}; it can be 'first' or 'last'")


def read_timeout_seconds(environ: Mapping[str, str]) -> float:
    """Return the seconds a whole resolution may take: `KEYLESS_TIMEOUT`, else 30.

    Raises:
        OIDCConfigurationError: It is not a number above 0 and at most 600.
    """
    text = clean(environ.get("KEYLESS_TIMEOUT"))
    if not text:
        return DEFAULT_TIMEOUT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:  # also refuses nan
        raise _wrong(
            f"KEYLESS_TIMEOUT is {text[:40]!r}; it is a number of seconds, above 0 and at most {MAX_TIMEOUT_SECONDS:g}"
        )
    return seconds


def token_path(environ: Mapping[str, str]) -> str:
    """Return where the stored token of `hf auth login` is: `HF_TOKEN_PATH`, or `token` in `HF_HOME`."""
    named = environ.get("HF_TOKEN_PATH")
    if named:
        return os.path.expandvars(os.path.expanduser(named))  # noqa: PTH111  # pathlib costs the cold path 3 ms
    home = environ.get("HF_HOME")
    if home:
        home = os.path.expandvars(os.path.expanduser(home))  # noqa: PTH111
    else:
        cache = environ.get("XDG_CACHE_HOME") or os.path.join(_home(environ), ".cache")  # noqa: PTH118
        home = os.path.join(os.path.expanduser(cache), "huggingface")  # noqa: PTH111, PTH118
    return os.path.join(home, "token")  # noqa: PTH118


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
