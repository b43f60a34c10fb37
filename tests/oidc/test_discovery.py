"""Discovery against issuers that lie (K09, K10, S05, S06)."""

from __future__ import annotations

import dataclasses
import json

import pytest

from keyless.errors import ConfigurationError, TransportError
from keyless.http.deadline import Deadline
from keyless.http.guarded import MAX_BYTES, Fetched, GuardedFetcher
from keyless.oidc.discovery import discovery_url, fetch_discovery, find_jwks_uri, operator_port
from keyless.oidc.issuer import Issuer, Network, NetworkKind
from tests.http.raw_server import http_answer, raw_server

ISSUER = Issuer(id=1, url="https://issuer.example/tenant", kind="generic")
SECRET = "xyzzy-from-the-remote-side"


class Document:
    """Answer every fetch with one document; remember what was asked for."""

    def __init__(self, body: object) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.asked: list[tuple[str, Network, int | None]] = []

    def fetch(
        self,
        url: str,
        *,
        network: Network,
        deadline: Deadline | None = None,
        operator_port: int | None = None,
        etag: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Fetched:
        self.asked.append((url, network, operator_port))
        return Fetched(self.body)


def document(**changes: object) -> dict[str, object]:
    return {"issuer": ISSUER.url, "jwks_uri": "https://issuer.example/keys", **changes}


@pytest.mark.parametrize(
    "issuer_url, where",
    [
        ("https://a.example", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/b", "https://a.example/b/.well-known/openid-configuration"),
        ("https://a.example/b/", "https://a.example/b/.well-known/openid-configuration"),
    ],
)
def test_the_document_is_where_the_standard_says(issuer_url: str, where: str) -> None:
    """K09: OpenID Connect Discovery 1.0 section 4.1, the path kept."""
    assert discovery_url(issuer_url) == where


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "https://issuer.example/keys",  # at the root host, as GitHub's enterprise issuers do
        "https://issuer.example/tenant/keys?v=2",
        "https://issuer.example:443/keys",
        "https://ISSUER.example/keys",
    ],
)
def test_keys_on_the_issuers_host_are_accepted(jwks_uri: str) -> None:
    """K09: same host and port; not the same prefix."""
    fetcher = Document(document(jwks_uri=jwks_uri, claims_supported=["sub", 7, "ref"]))
    found = fetch_discovery(fetcher, ISSUER)

    assert (found.issuer, found.jwks_uri, found.claims_supported) == (ISSUER.url, jwks_uri, ("sub", "ref"))
    assert fetcher.asked == [("https://issuer.example/tenant/.well-known/openid-configuration", Network(), 443)]


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "https://evil.example/keys",
        "https://issuer.example.evil.example/keys",
        "https://evilissuer.example/keys",
        "https://keys.issuer.example/keys",
        "https://issuer.example@evil.example/keys",
        "https://issuer.example:8443/keys",
        "http://issuer.example/keys",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/keys",
        "https://issuer.example/a/../keys",
        "//issuer.example/keys",
        "/keys",
        "file:///etc/passwd",
        f"https://issuer.example/{SECRET}\r\n",
        "",
        None,
        7,
        ["https://issuer.example/keys"],
    ],
)
def test_keys_elsewhere_are_refused(jwks_uri: object) -> None:
    """K09, T25: a genuine document cannot lead us to another host or inside."""
    with pytest.raises(TransportError) as caught:
        fetch_discovery(Document(document(jwks_uri=jwks_uri)), ISSUER)

    assert not caught.value.retryable
    assert SECRET not in str(caught.value)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "https://issuer.example/tenant/",
        "https://issuer.example/Tenant",
        "https://ISSUER.example/tenant",
        "https://issuer.example:443/tenant",
        "https://issuer.example",
        "https://issuer.example/tenant2",
        f"https://{SECRET}.example/tenant",
        ["https://issuer.example/tenant"],
        None,
    ],
)
def test_a_document_of_another_issuer_is_refused(name: object) -> None:
    """K10, S09, T21: equal, or not."""
    with pytest.raises(TransportError) as caught:
        fetch_discovery(Document(document(issuer=name)), ISSUER)

    assert not caught.value.retryable
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + SECRET.encode(),
        b"[]",
        b'"text"',
        b"null",
        b"\xff",
        b'{"issuer": NaN}',
        b'{"issuer": "https://issuer.example/tenant", "issuer": "https://issuer.example/tenant"}',
        b"[" * 20_000,
    ],
)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    """K05, S06: an error page is not a document, and its text stays where it is."""
    with pytest.raises(TransportError) as caught:
        fetch_discovery(Document(body), ISSUER)

    assert SECRET not in str(caught.value)


def test_a_pinned_key_set_needs_no_discovery() -> None:
    """K09: Google publishes its keys on another host."""
    google = Issuer(
        id=2,
        url="https://accounts.google.com",
        kind="generic",
        jwks_uri="https://www.googleapis.com:444/oauth2/v3/certs",
    )
    fetcher = Document(b"")

    assert find_jwks_uri(fetcher, google) == google.jwks_uri
    assert (fetcher.asked, operator_port(google)) == ([], 444)


@pytest.mark.parametrize(
    "changes",
    [{"url": "https://user@issuer.example"}, {"jwks_uri": "http://issuer.example/keys"}, {"url": "http://a.b"}],
)
def test_a_record_that_breaks_the_grammar_fetches_nothing(changes: dict[str, str]) -> None:
    """S02: records are checked where they are used too, not only where they are saved."""
    fetcher = Document(document())
    with pytest.raises(ConfigurationError):
        find_jwks_uri(fetcher, dataclasses.replace(ISSUER, **changes))  # type: ignore[arg-type]

    assert fetcher.asked == []


def test_a_loopback_issuer_is_discovered_over_plain_http() -> None:
    """D20: the demo's issuer passes the same code, without a bypass."""

    def answer(_head: str) -> bytes:
        url = f"http://127.0.0.1:{server.port}"
        return http_answer(json.dumps({"issuer": url, "jwks_uri": f"{url}/keys"}).encode())

    with raw_server(answer) as server:
        url = f"http://127.0.0.1:{server.port}"
        issuer = Issuer(id=3, url=url, kind="generic", network=Network(NetworkKind.LOOPBACK))
        found = fetch_discovery(GuardedFetcher(), issuer)

    assert found.jwks_uri == f"{url}/keys"


def test_a_redirected_discovery_is_refused() -> None:
    """K10, S05, T26: the document is where the record says, or nowhere."""
    with raw_server(http_answer()) as target:
        location = f"Location: http://127.0.0.1:{target.port}/"
        with raw_server(http_answer(b"", location, status="302 Found")) as server:
            url = f"http://127.0.0.1:{server.port}"
            issuer = Issuer(id=3, url=url, kind="generic", network=Network(NetworkKind.LOOPBACK))
            with pytest.raises(TransportError) as caught:
                fetch_discovery(GuardedFetcher(), issuer)

    assert (caught.value.retryable, target.connections) == (False, 0)
