"""Take a URL apart, and decide whether a token may travel to it. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from keyless.errors import OIDCConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

INSECURE_HOSTS_VARIABLE: Final = "KEYLESS_INSECURE_HTTP_HOSTS"
MAX_URL_CHARS: Final = 4096  # GitHub's request URLs have about 300; http.client refuses lines above 65,536
_PORTS: Final = {"http": 80, "https": 443}


class Url:
    """A checked http or https URL: printable ASCII, a host, no user information, no fragment.

    Args:
        text: The URL as it was given, for the request.
        scheme: `http` or `https`.
        host: Host name or address in lower case, without brackets.
        port: Port number, the scheme's own when the URL names none.
        target: Path and query, as the request line carries them.
    """

    __slots__ = ("host", "port", "scheme", "target", "text")

    def __init__(self, text: str, scheme: str, host: str, port: int, target: str) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.port = port
        self.target = target

    @property
    def authority(self) -> str:
        """Return `host` or `host:port`, as a Host header carries it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Return whether the host is this machine by its spelling."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine (RFC 6761 section 6.3 for `localhost`)."""
    if host == "localhost" or host.endswith(".localhost") or host == "::1":
        return True
    octets = host.split(".")
    return len(octets) == 4 and octets[0] == "127" and all(part.isdecimal() and len(part) <= 3 for part in octets)


def parse_url(text: str, *, name: str) -> Url:
    """Check a URL and take it apart.

    Args:
        text: The URL.
        name: What the URL is, for the message: a variable's or an argument's name.

    Raises:
        OIDCConfigurationError: It is not an http or https URL that can be used; the message never shows a password.
    """
    if len(text) > MAX_URL_CHARS:
        raise OIDCConfigurationError(f"{name} has {len(text)} characters; at most {MAX_URL_CHARS} can be a URL")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise OIDCConfigurationError(
            f"{name} holds characters that a URL cannot have",
            hint="Percent-encode the path; write an international host name in its xn-- form.",
        )
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname
    except ValueError:
        raise OIDCConfigurationError(f"{name} is not a URL: its host or port cannot be read") from None
    if parts.scheme not in _PORTS or not host:
        raise OIDCConfigurationError(
            f"{name} is not an http or https URL",
            hint="It looks like https://huggingface.co or https://hub.example.org/path.",
        )
    if parts.username is not None or parts.password is not None:
        raise OIDCConfigurationError(
            f"{name} holds a user name or a password",
            hint="Remove the part before the @; keyless needs no credential there.",
        )
    if parts.fragment:
        raise OIDCConfigurationError(f"{name} holds a fragment (#…), which is never sent")
    target = parts.path or "/"
    if parts.query:
        target = f"{target}?{parts.query}"
    return Url(text, parts.scheme, host, _PORTS[parts.scheme] if port is None else port, target)


def parse_endpoint(text: str, *, name: str = "HF_ENDPOINT") -> str:
    """Check the base URL of a token service and return it without trailing slashes; a path prefix is kept.

    Raises:
        OIDCConfigurationError: It cannot be the base of other URLs.
    """
    endpoint = text.strip().rstrip("/")
    if "?" in endpoint:
        raise OIDCConfigurationError(f"{name} holds a query (?…); the base URL of a service has none")
    parse_url(endpoint, name=name)
    return endpoint


def require_secure(url: Url, *, environ: Mapping[str, str]) -> bool:
    """Refuse to send a token in clear text over a network (D27).

    Returns:
        True when the URL is plain http to a host that the user named in `KEYLESS_INSECURE_HTTP_HOSTS`.

    Raises:
        OIDCConfigurationError: Plain http to a host that is neither this machine nor named.
    """
    if url.scheme == "https" or url.is_loopback:
        return False
    allowed = environ.get(INSECURE_HOSTS_VARIABLE, "").replace(",", " ").lower().split()
    if url.host in allowed or f"{url.host}:{url.port}" in allowed:
        return True
    raise OIDCConfigurationError(
        f"plain http to {url.authority} would show the token to the network",
        hint=f"Use https. If that network is really yours alone, name the host: {INSECURE_HOSTS_VARIABLE}={url.host}",
    )
