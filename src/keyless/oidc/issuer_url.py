"""The grammar of issuer URLs and of pinned key-set URLs (S02). Pure: no look-up, no connection.

A URL that passes is stored and compared as it is, byte for byte (S09, V06, T21, T22): nothing here repairs one.
"""

from __future__ import annotations

import re
from typing import Final

from keyless.errors import ConfigurationError
from keyless.http.guarded import Url, parse_url
from keyless.oidc.issuer import Network, NetworkKind

MAX_ISSUER_CHARS: Final = 255  # S02; OpenID Connect Core 1.0 section 2 gives `sub` the same bound
MAX_SEGMENT_CHARS: Final = 150  # S02
_PATH: Final = re.compile(r"[A-Za-z0-9._~/-]*")  # RFC 3986 section 2.3: unreserved characters only
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# What resolvers read as an IPv4 address: "127.1", "2130706433", "0x7f.1" and "0177.0.0.1" are all loopback.
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def check_issuer_url(url: str, network: Network) -> None:
    """Refuse a text that must not become an issuer record.

    Args:
        url: The issuer exactly as its tokens spell it.
        network: Where the operator allows it to live. `http`, IP addresses and one-word host names need `loopback`
            (the last two also `private`).

    Raises:
        ConfigurationError: The message names the rule. The text itself is not repeated.
    """
    if len(url) > MAX_ISSUER_CHARS:
        raise ConfigurationError(f"an issuer has at most {MAX_ISSUER_CHARS} characters")
    parsed = _parse(url, "an issuer")
    if "?" in url:
        raise ConfigurationError("an issuer has no query")
    _check_scheme_and_host(parsed, network, "an issuer")
    path = parsed.target if url.partition("://")[2].partition("/")[1] else ""
    if not _PATH.fullmatch(path):
        raise ConfigurationError("an issuer's path has letters, digits, '-', '.', '_', '~' and '/' only")
    _check_segments(path)


def check_jwks_uri(url: str, network: Network) -> None:
    """Refuse a text that must not become the pinned key-set URL of an issuer (K09); a query is allowed.

    Raises:
        ConfigurationError: The message names the rule.
    """
    parsed = _parse(url, "a key-set URL")
    _check_scheme_and_host(parsed, network, "a key-set URL")
    _check_segments(parsed.target.partition("?")[0])


def check_outbound_proxy(url: str) -> None:
    """Refuse a text that must not become an issuer's outbound proxy (D20): `http://host:port` and nothing else.

    Raises:
        ConfigurationError: The message names the rule, not the text: it may hold a password.
    """
    try:
        parsed = parse_url(url)
    except ValueError:
        parsed = None
    if parsed is None or parsed.scheme != "http" or parsed.target != "/":
        raise ConfigurationError(
            "an outbound proxy is http://host:port, without a path, user name or password",
            hint="What goes through it is encrypted from here to the issuer.",
        )


def _parse(url: str, what: str) -> Url:
    # These three would otherwise end in the general sentence below, and are what people get wrong.
    if not url.isascii():
        raise ConfigurationError(f"{what} is ASCII; write an international host name in its xn-- form")
    if "#" in url:
        raise ConfigurationError(f"{what} has no fragment")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ConfigurationError(f"{what} has no user information")
    try:
        return parse_url(url)
    except ValueError:
        raise ConfigurationError(
            f"{what} is a URL: https://host, perhaps a port and a path, without spaces or other characters"
        ) from None


def _check_scheme_and_host(url: Url, network: Network, what: str) -> None:
    if url.scheme != "https" and network.kind is not NetworkKind.LOOPBACK:
        raise ConfigurationError(f"{what} is https; plain http is for the loopback network only")
    inside = network.kind in {NetworkKind.PRIVATE, NetworkKind.LOOPBACK}
    if network.kind is NetworkKind.PROXY and url.host not in network.hosts:
        raise ConfigurationError(f"{what} is on a host that may not be asked for through the outbound proxy")
    labels = url.host.split(".")
    if ":" in url.host or _NUMERIC_LABEL.fullmatch(labels[-1]):
        if not inside:
            raise ConfigurationError(
                f"{what} has a host name, not an IP address, unless its network is private or loopback"
            )
        return
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ConfigurationError(f"{what} has a host name of letters, digits and '-', with labels of 1 to 63")
    if len(labels) == 1 and not inside:
        raise ConfigurationError(f"{what} has a host name with a dot, unless its network is private or loopback")


def _check_segments(path: str) -> None:
    segments = path.split("/")
    if "//" in path or any(segment in {".", ".."} for segment in segments):
        raise ConfigurationError("the path of an issuer's URL has no '//', no '.' and no '..' segment")
    if any(len(segment) > MAX_SEGMENT_CHARS for segment in segments):
        raise ConfigurationError(f"a path segment of an issuer's URL has at most {MAX_SEGMENT_CHARS} characters")
