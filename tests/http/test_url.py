"""A URL is checked before a token travels to it."""

from __future__ import annotations

import pytest

from keyless.errors import ConfigurationError, OIDCConfigurationError, OIDCError
from keyless.http.url import MAX_URL_CHARS, is_loopback, parse_endpoint, parse_url, require_secure


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "authority"),
    [
        ("https://huggingface.co", "huggingface.co", 443, "/", "huggingface.co"),
        ("https://Hub.Example.org:8443/a/b?c=d&e", "hub.example.org", 8443, "/a/b?c=d&e", "hub.example.org:8443"),
        ("http://127.0.0.1:80/x", "127.0.0.1", 80, "/x", "127.0.0.1"),
        ("http://[::1]:8080/", "::1", 8080, "/", "[::1]:8080"),
    ],
)
def test_a_url_is_taken_apart(text: str, host: str, port: int, target: str, authority: str) -> None:
    """Host, port and request target come out as the request needs them."""
    url = parse_url(text, name="it")

    assert (url.host, url.port, url.target, url.authority) == (host, port, target, authority)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "huggingface.co",
        "ftp://huggingface.co",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:hunter2hunter2@huggingface.co",
        "https://huggingface.co:port",
        "https://huggingface.co:99999",
        "https://[::1",
        "https://huggingface.co/a b",
        "https://huggingface.co/\r\nX-Injected: 1",
        "https://huggingface.co\t.evil.example",
        "https://huggingfäce.co",
        "https://huggingface.co/#fragment",
        "https://huggingface.co/" + "a" * MAX_URL_CHARS,
    ],
)
def test_what_cannot_be_used_is_refused_by_name(text: str) -> None:
    """S6: a wrong URL is a configuration error that names the variable and shows no password."""
    with pytest.raises(OIDCConfigurationError) as caught:
        parse_url(text, name="HF_ENDPOINT")

    assert isinstance(caught.value, OIDCError)
    assert isinstance(caught.value, ConfigurationError)
    assert "HF_ENDPOINT" in caught.value.message
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_an_endpoint_loses_its_trailing_slashes_and_keeps_its_path() -> None:
    """protocols.md 1.4: HF_ENDPOINT may have a path prefix."""
    assert parse_endpoint(" https://hub.example.org/prefix// \n") == "https://hub.example.org/prefix"


def test_an_endpoint_with_a_query_is_refused() -> None:
    """Paths are appended to an endpoint, so a query would swallow them."""
    with pytest.raises(OIDCConfigurationError):
        parse_endpoint("https://hub.example.org/?a=b")


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_is_recognised(host: str) -> None:
    """RFC 6761 section 6.3: these names and addresses are this machine."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.evil.example", "127.0.0.1.evil.example", "128.0.0.1", "127.evil.a.b", ""])
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    """A name that starts like a loopback address is a name."""
    assert not is_loopback(host)


def test_plain_http_over_a_network_is_refused() -> None:
    """D27: a token does not travel in clear text."""
    with pytest.raises(OIDCConfigurationError, match="plain http") as caught:
        require_secure(parse_url("http://hub.internal:8080/", name="it"), environ={})

    assert "KEYLESS_INSECURE_HTTP_HOSTS=hub.internal" in (caught.value.hint or "")


@pytest.mark.parametrize("allowed", ["hub.internal", "other, HUB.internal", "hub.internal:8080"])
def test_plain_http_to_a_named_host_is_allowed_and_told(allowed: str) -> None:
    """D27: the user may name hosts; the caller is told so that it can warn."""
    url = parse_url("http://hub.internal:8080/", name="it")

    assert require_secure(url, environ={"KEYLESS_INSECURE_HTTP_HOSTS": allowed})


def test_https_and_loopback_need_no_permission() -> None:
    """D27: these two are always fine."""
    assert not require_secure(parse_url("https://hub.internal", name="it"), environ={})
    assert not require_secure(parse_url("http://127.0.0.1:8080", name="it"), environ={})
