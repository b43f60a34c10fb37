"""One HTTP request against servers that do everything a network can do."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.errors import OIDCConfigurationError, TransportError
from keyless.http import tls, transport
from keyless.http.deadline import Deadline
from keyless.http.transport import AnswerError, NotSentError, Response, send
from tests.support.certificates import hashed_directory, make_authority, server_context
from tests.support.job import make_id_token
from tests.support.proxy import ConnectProxy
from tests.support.stub import Answer, StubServer


@pytest.fixture
def server() -> Iterator[StubServer]:
    with StubServer() as running:
        yield running


def get(url: str, *, seconds: float = 10, environ: dict[str, str] | None = None, max_bytes: int = 1000) -> Response:
    return send(
        "GET",
        url,
        leg="the stub",
        deadline=Deadline(seconds),
        environ=environ or {},
        headers={"Authorization": "Bearer secret-secret-secret"},
        max_bytes=max_bytes,
    )


def test_an_answer_is_returned_whatever_its_status(server: StubServer) -> None:
    """Status, headers by lower-case name and body come back; who asked decides what they mean."""
    server.on("/x", Answer(418, b"tea", headers={"X-Thing": "pot"}))

    answer = get(f"{server.url}/x?y=%2F")

    assert (answer.status, answer.headers["x-thing"], answer.body) == (418, "pot", b"tea")
    assert "tea" not in repr(answer)
    assert server.requests[0].target == "/x?y=%2F"


def test_the_request_says_who_asks_and_wants_nothing_compressed(server: StubServer) -> None:
    """A compressed answer could be small on the wire and huge in memory."""
    server.on("/x", Answer(200, b"ok"))

    get(f"{server.url}/x")

    headers = server.requests[0].headers
    assert headers["user-agent"].startswith("keyless/")
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"127.0.0.1:{server.port}"


def test_a_body_without_length_is_read_to_the_end(server: StubServer) -> None:
    """HTTP/1.0 style answers end when the connection closes."""
    server.on("/x", Answer(raw=b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nall of it"))

    assert get(f"{server.url}/x").body == b"all of it"


def test_a_chunked_body_is_joined(server: StubServer) -> None:
    """RFC 9112 section 7.1."""
    server.on(
        "/x", Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n2\r\n !\r\n0\r\n\r\n")
    )

    assert get(f"{server.url}/x").body == b"all !"


BAD_ANSWERS = [
    ("garbage", Answer(raw=b"SSH-2.0-OpenSSH\r\n"), False),
    ("empty", Answer(raw=b""), True),
    ("reset", Answer(resets=True), True),
    ("cut in the body", Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"), True),
    ("cut in a chunk", Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhalf"), True),
    ("no chunk", Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf"), True),
    ("long line", Answer(raw=b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000 + b"\r\n\r\n"), False),
    ("many headers", Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"A: a\r\n" * 200 + b"\r\n"), False),
    ("strange status", Answer(raw=b"HTTP/1.1 2OO OK\r\n\r\n"), False),
    ("strange version", Answer(raw=b"HTTP/9 200 OK\r\n\r\n"), False),
    ("too large by length", Answer(200, b"x" * 1001), False),
    ("too large, chunked", Answer(raw=b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000), False),
    ("late", Answer(200, b"ok", delay_seconds=5), True),
    ("never", Answer(hangs=True), True),
    ("in drops", Answer(200, b"x" * 500, drip_seconds=0.02), True),
    ("redirect", Answer(307, b"", headers={"Location": "https://evil.example/?q"}), False),
]


@pytest.mark.parametrize(
    ("answer", "retryable"), [case[1:] for case in BAD_ANSWERS], ids=[case[0] for case in BAD_ANSWERS]
)
def test_a_bad_answer_is_one_error_in_time(server: StubServer, answer: Answer, retryable: bool) -> None:
    """S6: whatever the peer does ends in a TransportError that names host and leg, within the deadline."""
    server.on("/x", answer)
    begun = time.monotonic()

    with pytest.raises(TransportError) as caught:
        get(f"{server.url}/x", seconds=0.6)

    assert time.monotonic() - begun < 2
    assert caught.value.retryable is retryable
    assert isinstance(caught.value, AnswerError) is not retryable
    assert f"the stub at 127.0.0.1:{server.port}" in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_redirect_is_refused_with_its_target_named(server: StubServer) -> None:
    """T102: the token never follows a redirect to another host; the message says where it would have gone."""
    server.on("/x", Answer(302, b"", headers={"Location": f"https://evil.example/{make_id_token('x')}"}))

    with pytest.raises(AnswerError, match=r"redirected to https://evil\.example \(HTTP 302\)"):
        get(f"{server.url}/x")

    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["/other", "", "https://[", "//elsewhere"])
def test_a_redirect_without_a_clear_target_is_refused_too(server: StubServer, location: str) -> None:
    """A relative or broken Location changes nothing."""
    server.on("/x", Answer(301, b"", headers={"Location": location}))

    with pytest.raises(AnswerError, match="redirects are not followed"):
        get(f"{server.url}/x")


def test_a_refused_connection_may_be_tried_again() -> None:
    """Nobody listening is an outage."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(TransportError, match="refused the connection") as caught:
        get(f"http://127.0.0.1:{port}/")

    assert caught.value.retryable


def test_a_name_that_does_not_resolve_is_said_to_be_that() -> None:
    """DNS trouble has its own sentence; "no such name" is an answer that asking again does not change."""
    with pytest.raises(NotSentError, match="does not resolve") as caught:
        get("https://hub.invalid/")

    assert not caught.value.retryable


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b.example", "%00.example"])
def test_a_host_that_cannot_be_a_name_does_not_end_in_a_codec_error(host: str) -> None:
    """An idna UnicodeError is a name that does not resolve."""
    with pytest.raises(TransportError):
        get(f"https://{host}/", seconds=2)


@pytest.mark.parametrize("value", ["Bearer a\r\nX: y", "Bearer é", "Bearer \x00"])
def test_a_header_that_http_does_not_allow_is_not_quoted(server: StubServer, value: str) -> None:
    """S8: http.client would put the header's value, a token, into its exception."""
    with pytest.raises(OIDCConfigurationError, match="Authorization header") as caught:
        send("GET", server.url, leg="it", deadline=Deadline(5), environ={}, headers={"Authorization": value})

    assert value not in f"{caught.value} {caught.value.hint}"
    assert server.requests == []


def test_plain_http_to_a_named_host_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    """D27: allowed, but not silently."""
    transport._warned_insecure.discard("insecure.invalid")
    environ = {"KEYLESS_INSECURE_HTTP_HOSTS": "insecure.invalid"}

    for _ in range(2):
        with pytest.raises(TransportError):
            get("http://insecure.invalid/", environ=environ)

    warnings = [record for record in caplog.records if "insecure.invalid" in record.getMessage()]
    assert [record.levelno for record in warnings] == [logging.WARNING]


def test_plain_http_to_another_machine_is_never_sent() -> None:
    """D27."""
    with pytest.raises(OIDCConfigurationError, match="plain http"):
        get("http://hub.invalid/")


def test_a_private_authority_is_trusted_through_ssl_cert_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE works as everywhere, and is read again when it changes."""
    with StubServer(tls=server_context()) as server:
        server.on("/x", Answer(200, b"ok"))
        with pytest.raises(TransportError, match="certificate is not trusted") as caught:
            get(f"{server.url}/x")
        monkeypatch.setenv("SSL_CERT_FILE", str(make_authority("127.0.0.1")[0]))

        assert get(f"{server.url}/x").body == b"ok"
        assert not caught.value.retryable
        assert "SSL_CERT_FILE" in (caught.value.hint or "")
        assert "SSL_CERT_DIR" in (caught.value.hint or "")


def loads_of_the_bundle(monkeypatch: pytest.MonkeyPatch, trusting: Path | None = None) -> list[ssl.SSLContext]:
    """Count how often OpenSSL's own file and directory are loaded; `trusting` stands for what would be in them."""
    loaded: list[ssl.SSLContext] = []

    def everything() -> ssl.SSLContext:
        loaded.append(ssl.create_default_context(cafile=trusting))
        return loaded[-1]

    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tls, "_everything", everything)
    monkeypatch.setattr(tls, "_trusts", {})
    return loaded


@pytest.mark.parametrize("is_default", [False, True], ids=["SSL_CERT_DIR", "the system's"])
def test_a_hashed_directory_is_enough(monkeypatch: pytest.MonkeyPatch, is_default: bool) -> None:
    """D18: where OpenSSL finds the authority by its name, no bundle is parsed."""
    loaded = loads_of_the_bundle(monkeypatch)
    if is_default:
        monkeypatch.setattr(tls, "_default_directory", lambda: str(hashed_directory("127.0.0.1")))
    else:
        monkeypatch.setenv("SSL_CERT_DIR", f"/nonexistent:{hashed_directory('127.0.0.1')}")
    with StubServer(tls=server_context()) as server:
        server.on("/x", Answer(200, b"ok"))

        assert get(f"{server.url}/x").body == b"ok"
    assert loaded == []


def test_the_bundle_counts_where_the_directory_does_not_vouch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both count for OpenSSL: a job's own authority in SSL_CERT_DIR does not make the platform's host untrusted."""
    loaded = loads_of_the_bundle(monkeypatch, make_authority("127.0.0.1")[0])
    for file in hashed_directory("127.0.0.2").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with StubServer(tls=server_context()) as server:
        server.on("/x", Answer(200, b"ok"))

        assert [get(f"{server.url}/x").body for _ in range(3)] == [b"ok"] * 3
    assert len(loaded) == 1


def test_who_neither_vouches_for_stays_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another look never makes a stranger known."""
    loaded = loads_of_the_bundle(monkeypatch, make_authority("127.0.0.3")[0])
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed_directory("127.0.0.2")))
    with StubServer(tls=server_context()) as server, pytest.raises(TransportError, match="not trusted"):
        get(f"{server.url}/x")

    assert len(loaded) == 1
    assert server.requests == []


def test_a_name_that_is_not_the_certificates_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """More authorities would not change whose certificate it is."""
    loaded = loads_of_the_bundle(monkeypatch)
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed_directory("127.0.0.2")))
    with StubServer(tls=server_context("127.0.0.2")) as server, pytest.raises(TransportError, match="not trusted"):
        get(f"{server.url}/x")

    assert loaded == []


def test_a_file_that_is_named_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE beside a directory: both, at once."""
    loaded = loads_of_the_bundle(monkeypatch, make_authority("127.0.0.1")[0])
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed_directory("127.0.0.2")))
    monkeypatch.setenv("SSL_CERT_FILE", str(make_authority("127.0.0.1")[0]))
    with StubServer(tls=server_context()) as server:
        server.on("/x", Answer(200, b"ok"))

        assert get(f"{server.url}/x").body == b"ok"
    assert len(loaded) == 1


def test_a_certificate_for_another_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate has to be for the host in the URL."""
    monkeypatch.setenv("SSL_CERT_FILE", str(make_authority("127.0.0.2")[0]))
    with (
        StubServer(tls=server_context("127.0.0.2")) as server,
        pytest.raises(TransportError, match="certificate is not trusted"),
    ):
        get(f"{server.url}/x")

    assert server.requests == []


def test_a_certificate_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL would say nothing and trust nobody."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")

    with socket.create_server(("127.0.0.1", 0)) as peer, pytest.raises(OIDCConfigurationError, match="SSL_CERT_FILE"):
        get(f"https://127.0.0.1:{peer.getsockname()[1]}/")


def test_https_to_a_plain_server_gets_a_hint(server: StubServer) -> None:
    """The commonest mistake with a port."""
    server.on("/x", Answer(raw=b"HTTP/1.1 400 Bad\r\n\r\n"))

    with pytest.raises(TransportError) as caught:
        get(f"https://127.0.0.1:{server.port}/x", seconds=2)

    assert "TLS" in caught.value.message


def test_a_handshake_that_hangs_ends_with_the_deadline() -> None:
    """TLS is inside the deadline too."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TransportError, match="within"):
        get(f"https://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.4)


def test_https_goes_through_a_proxy_by_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees the host and its own credentials, never the request or the bearer token."""
    # 127.0.0.2 would be loopback to us, so the name is of a host that only the proxy can reach.
    monkeypatch.setenv("SSL_CERT_FILE", str(make_authority("203.0.113.7")[0]))
    with StubServer(tls=server_context("203.0.113.7")) as server, ConnectProxy(server.port) as proxy:
        server.on("/x", Answer(200, b"ok"))

        answer = get("https://203.0.113.7/x", environ={"HTTPS_PROXY": f"http://us:pw@127.0.0.1:{proxy.port}"})

        assert answer.body == b"ok"
        assert proxy.heads[0].startswith("CONNECT 203.0.113.7:443 HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXM6cHc=" in proxy.heads[0]
        assert "secret-secret" not in proxy.heads[0]
        assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize(("status", "retryable"), [(407, False), (403, False), (502, True), (503, True)])
def test_a_proxy_that_refuses_is_named(status: int, retryable: bool) -> None:
    """The proxy is to blame, so the message says so; a failing one may recover."""
    with ConnectProxy(1, status=status) as proxy, pytest.raises(TransportError, match=f"HTTP {status}") as caught:
        get("https://203.0.113.7/x", environ={"ALL_PROXY": f"http://us:secretword@127.0.0.1:{proxy.port}"})

    assert caught.value.retryable is retryable
    assert f"proxy 127.0.0.1:{proxy.port}" in caught.value.message
    assert "secretword" not in f"{caught.value.message} {caught.value.hint}"


def test_plain_http_through_a_proxy_uses_the_whole_url(server: StubServer) -> None:
    """RFC 9112 section 3.2.2."""
    server.on("http://insecure.invalid/x", Answer(200, b"ok"))
    environ = {
        "KEYLESS_INSECURE_HTTP_HOSTS": "insecure.invalid",
        "http_proxy": f"http://us:pw@127.0.0.1:{server.port}",
    }

    assert get("http://insecure.invalid/x", environ=environ).body == b"ok"
    assert server.requests[0].headers["proxy-authorization"] == "Basic dXM6cHc="
    assert server.requests[0].headers["host"] == "insecure.invalid"


@pytest.mark.parametrize("switch", [{"HF_DEBUG": "1"}, {"KEYLESS_DEBUG": "true"}, {"KEYLESS_DEBUG": "traceback"}])
def test_debug_logs_a_curl_line_without_the_token(
    server: StubServer, caplog: pytest.LogCaptureFixture, switch: dict[str, str]
) -> None:
    """S8: HF_DEBUG shows each request, its credentials masked."""
    server.on("/x", Answer(200, b"ok"))
    with caplog.at_level(logging.DEBUG):
        get(f"{server.url}/x", environ=switch)

    assert "curl -X GET" in caplog.text
    assert "Bearer ***" in caplog.text
    assert "secret-secret" not in caplog.text


def test_without_debug_nothing_is_logged(server: StubServer, caplog: pytest.LogCaptureFixture) -> None:
    """Silence is the default."""
    server.on("/x", Answer(200, b"ok"))
    with caplog.at_level(logging.DEBUG):
        get(f"{server.url}/x", environ={"HF_DEBUG": "0"})

    assert caplog.text == ""
