"""Fetching through the one proxy that an operator named for an issuer (D20): hosts are allowed, not addresses."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from keyless.errors import ConfigurationError, TransportError
from keyless.http.guarded import GuardedFetcher
from keyless.oidc.issuer import Issuer, Network, NetworkKind
from keyless.oidc.issuer_url import check_issuer_url, check_jwks_uri, check_outbound_proxy
from tests.http.raw_server import Certificate, http_answer, make_certificate, raw_server
from tests.support.proxy import ConnectProxy

ISSUER = Issuer(1, "https://issuer.example", "generic")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "issuer.example")


def through(port: int, *hosts: str) -> Network:
    return Network(NetworkKind.PROXY, proxy=f"http://127.0.0.1:{port}", hosts=hosts)


def test_an_allowed_host_is_fetched_through_the_proxy(certificate: Certificate) -> None:
    """D20, S04: the proxy gets a name and a port; certificate and host name are verified end to end."""
    with (
        raw_server(http_answer(b"{}"), tls=certificate.server_context) as server,
        ConnectProxy(server.port) as proxy,
    ):
        fetcher = GuardedFetcher(ssl_context=certificate.trusting_context())
        fetched = fetcher.fetch("https://issuer.example/keys", network=through(proxy.port, "issuer.example"))

    assert fetched.body == b"{}"
    assert [head.split("\r\n")[0] for head in proxy.heads] == ["CONNECT issuer.example:443 HTTP/1.1"]
    assert "authorization" not in proxy.heads[0].lower()


@pytest.mark.parametrize("host", ["other.example", "issuer.example.evil.example", "127.0.0.1", "a.issuer.example"])
def test_no_other_host_is_asked_for(certificate: Certificate, host: str) -> None:
    """D20, S03, T24: the list of hosts takes the place of the addresses; nothing reaches the proxy."""
    with ConnectProxy(1) as proxy:
        fetcher = GuardedFetcher(ssl_context=certificate.trusting_context())
        with pytest.raises(TransportError, match="may not be asked for") as caught:
            fetcher.fetch(f"https://{host}/", network=through(proxy.port, "issuer.example"))

    assert not caught.value.retryable
    assert proxy.heads == []


def test_a_proxy_that_leads_elsewhere_fails_at_the_certificate(certificate: Certificate, tmp_path: Path) -> None:
    """S04: what the proxy connects us with must prove the issuer's name."""
    other = make_certificate(tmp_path, "elsewhere.example")
    with raw_server(http_answer(), tls=other.server_context) as server, ConnectProxy(server.port) as proxy:
        fetcher = GuardedFetcher(ssl_context=certificate.trusting_context())
        with pytest.raises(TransportError, match="certificate"):
            fetcher.fetch("https://issuer.example/", network=through(proxy.port, "issuer.example"))


@pytest.mark.parametrize(("status", "retryable"), [(403, False), (407, False), (502, True)])
def test_what_the_proxy_answers_is_an_outage_or_a_rule(
    certificate: Certificate, status: int, *, retryable: bool
) -> None:
    """S06, D9: the status is told to operators."""
    with ConnectProxy(1, status=status) as proxy:
        fetcher = GuardedFetcher(ssl_context=certificate.trusting_context())
        with pytest.raises(TransportError, match=str(status)) as caught:
            fetcher.fetch("https://issuer.example/", network=through(proxy.port, "issuer.example"))

    assert caught.value.retryable is retryable


def test_a_dead_proxy_is_an_outage(certificate: Certificate) -> None:
    """D9."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    fetcher = GuardedFetcher(ssl_context=certificate.trusting_context())
    with pytest.raises(TransportError) as caught:
        fetcher.fetch("https://issuer.example/", network=through(port, "issuer.example"))

    assert caught.value.retryable


@pytest.mark.parametrize("url", ["http://issuer.example/", "https://issuer.example:8443/"])
def test_scheme_and_port_are_as_strict_as_without_a_proxy(certificate: Certificate, url: str) -> None:
    """S04."""
    with ConnectProxy(1) as proxy, pytest.raises(TransportError):
        GuardedFetcher(ssl_context=certificate.trusting_context()).fetch(
            url, network=through(proxy.port, "issuer.example")
        )
    assert proxy.heads == []


@pytest.mark.parametrize(
    "url", ["https://p:3128", "http://user:secret@p:3128", "http://p:3128/path", "socks5://p", "p:3128", ""]
)
def test_a_proxy_is_an_http_url_and_nothing_more(url: str) -> None:
    """D20: and what is refused is not repeated, because it may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        check_outbound_proxy(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("check", [check_issuer_url, check_jwks_uri])
@pytest.mark.parametrize("url", ["https://10.0.0.1/x", "https://issuer/x", "https://other.example/x"])
def test_the_grammar_of_issuers_stays_as_strict(check: Callable[[str, Network], None], url: str) -> None:
    """S02: a proxy opens no door for addresses and one-word names."""
    with pytest.raises(ConfigurationError):
        check(url, through(1, "issuer.example", "10.0.0.1", "issuer"))
