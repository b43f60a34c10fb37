"""Which proxy, if any, a request goes through: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.

The rules are curl's, in lower case before upper case, plus one: a request to this machine never leaves it. Pure.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from keyless.errors import OIDCConfigurationError
from keyless.http.url import Url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_DEFAULT_PROXY_PORT: Final = 80  # of an http:// proxy URL without a port, as curl's newer rule and browsers have it


class Proxy:
    """An http proxy: where it is, and what it wants to see in `Proxy-Authorization`."""

    __slots__ = ("authorization", "host", "port")

    def __init__(self, host: str, port: int, authorization: str | None) -> None:
        self.host = host
        self.port = port
        self.authorization = authorization


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    for name in names:
        value = environ.get(name, "").strip()
        if value:
            return name, value
    return "", ""


def _is_exempt(url: Url, no_proxy: str) -> bool:
    """Return whether a rule of `NO_PROXY` fits: a name and all below it, an address, a network, or `*` for all."""
    return any(_fits(url, entry) for entry in no_proxy.replace(",", " ").lower().split())


def _fits(url: Url, entry: str) -> bool:
    if entry == "*":
        return True
    name, _, port = entry.rpartition(":")
    if name and port.isdecimal() and (":" not in name or name.startswith("[")):
        if int(port) != url.port:
            return False
    else:
        name = entry
    name = name.strip("[]").removeprefix("*").removeprefix(".")
    if not name:
        return False
    return url.host == name or url.host.endswith(f".{name}") or ("/" in name and _in_network(url.host, name))


def _in_network(host: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def choose_proxy(url: Url, *, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a URL, or `None` for a direct connection.

    Raises:
        OIDCConfigurationError: The variable holds something that is not an http proxy; its value is not shown.
    """
    if url.is_loopback:
        return None
    if url.scheme == "https":
        name, value = _first(environ, "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    elif environ.get("REQUEST_METHOD"):
        # A CGI script's HTTP_PROXY comes from a request's "Proxy:" header ("httpoxy"), so only lower case counts.
        name, value = _first(environ, "http_proxy", "all_proxy", "ALL_PROXY")
    else:
        name, value = _first(environ, "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    if not value or _is_exempt(url, _first(environ, "no_proxy", "NO_PROXY")[1]):
        return None
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or not host.isascii():
        raise OIDCConfigurationError(
            f"{name} is not the URL of a proxy", hint="It looks like http://proxy.example.org:3128."
        )
    if parts.scheme != "http":
        raise OIDCConfigurationError(
            f"{name} names a {parts.scheme}:// proxy; only http:// proxies are supported",
            hint=f"Set {name} to an http:// proxy, or exempt {url.host} with NO_PROXY.",
        )
    authorization = None
    if parts.username is not None:
        from base64 import b64encode

        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode('ascii')}"
    return Proxy(host, port or _DEFAULT_PROXY_PORT, authorization)
