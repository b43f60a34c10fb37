"""Which proxy a request takes, by the variables that curl reads."""

from __future__ import annotations

import pytest

from keyless.errors import OIDCConfigurationError
from keyless.http.proxy import choose_proxy
from keyless.http.url import parse_url

HTTPS = parse_url("https://hub.example.org/x", name="it")
HTTP = parse_url("http://hub.example.org/x", name="it")


def chosen(environ: dict[str, str], url: str = "https://hub.example.org") -> str | None:
    proxy = choose_proxy(parse_url(url, name="it"), environ=environ)
    return None if proxy is None else f"{proxy.host}:{proxy.port}"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "p:3128"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:2"}, "low:1"),
        ({"ALL_PROXY": "p:8080"}, "p:8080"),
        ({"HTTPS_PROXY": "http://p"}, "p:80"),
        ({"HTTP_PROXY": "http://p:3128"}, None),
        ({"HTTPS_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "p:1"),
    ],
)
def test_https_proxy(environ: dict[str, str], expected: str | None) -> None:
    """Lower case wins, ALL_PROXY is the last resort, HTTP_PROXY is not for https."""
    assert chosen(environ) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HTTP_PROXY": "http://p:3128"}, "p:3128"),
        ({"HTTP_PROXY": "http://p:3128", "REQUEST_METHOD": "GET"}, None),
        ({"http_proxy": "http://p:3128", "REQUEST_METHOD": "GET"}, "p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, None),
    ],
)
def test_http_proxy(environ: dict[str, str], expected: str | None) -> None:
    """Inside a CGI request the upper-case variable is the attacker's "Proxy:" header."""
    assert chosen(environ, "http://hub.example.org") == expected


@pytest.mark.parametrize(
    "no_proxy",
    ["*", "hub.example.org", "example.org", ".example.org", "*.example.org", "a, EXAMPLE.org", "hub.example.org:443"],
)
def test_no_proxy_exempts(no_proxy: str) -> None:
    """A name exempts itself and everything below it."""
    assert chosen({"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}) is None


@pytest.mark.parametrize("no_proxy", ["ample.org", "hub.example.org:8443", "hub.example.org.evil", ".", ",", "org.x"])
def test_no_proxy_does_not_exempt_others(no_proxy: str) -> None:
    """A part of a label, another port or a longer name is another host."""
    assert chosen({"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}) == "p:1"


@pytest.mark.parametrize(
    ("url", "no_proxy", "exempt"),
    [
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://[2001:db8::1]", "2001:db8::/32", True),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443", True),
        ("https://hub.example.org", "10.0.0.0/8", False),
        ("https://hub.example.org", "nonsense/99", False),
    ],
)
def test_no_proxy_takes_networks(url: str, no_proxy: str, exempt: bool) -> None:
    """Addresses are compared with networks in CIDR form."""
    assert (chosen({"HTTPS_PROXY": "http://p:1", "no_proxy": no_proxy}, url) is None) is exempt


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://localhost", "http://[::1]"])
def test_loopback_never_takes_a_proxy(url: str) -> None:
    """D27: plain http is allowed to this machine because it stays there."""
    assert chosen({"ALL_PROXY": "http://p:1"}, url) is None


def test_credentials_become_a_header() -> None:
    """User name and password are percent-decoded and sent as Basic (RFC 7617)."""
    proxy = choose_proxy(HTTPS, environ={"HTTPS_PROXY": "http://us%40er:p%3Aw@p:1"})

    assert proxy is not None
    assert proxy.authorization == "Basic dXNAZXI6cDp3"


@pytest.mark.parametrize("value", ["socks5://p:1", "https://p:1", "http://", "http://p:notaport", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(value: str) -> None:
    """S8: the variable may hold a password, so its value is not repeated."""
    with pytest.raises(OIDCConfigurationError, match="HTTPS_PROXY") as caught:
        choose_proxy(HTTPS, environ={"HTTPS_PROXY": value.replace("//", "//user:secretword@", 1)})

    assert "secretword" not in f"{caught.value} {caught.value.hint}"
