"""The guarded fetcher against servers and resolvers that try everything (S01-S09, K07, K08, D20)."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest

from keyless.errors import TransportError
from keyless.http.deadline import Address, Deadline, connect
from keyless.http.guarded import MAX_BYTES, GuardedFetcher, parse_url
from keyless.oidc.issuer import Network, NetworkKind
from tests.http.raw_server import Answer, Certificate, http_answer, make_certificate, raw_server

PUBLIC = Network()
LOOPBACK = Network(NetworkKind.LOOPBACK)
PRIVATE = Network(NetworkKind.PRIVATE, (ip_network("10.0.0.0/8"),))
SECRET = "xyzzy-from-the-remote-side"  # nothing the peer says may come back to us in an error (S06)


def v4(*addresses: str) -> list[Address]:
    """Write addresses as a resolver answers them."""
    return [(int(socket.AF_INET), (address, 443)) for address in addresses]


class FakeResolver:
    """Give prepared answers, one per look-up; the last one for ever."""

    def __init__(self, *answers: Sequence[Address]) -> None:
        self.answers = list(answers)
        self.names: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int, deadline: Deadline) -> Sequence[Address]:
        self.names.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Wire:
    """Stand for the network: remember where a connection was to go, and lead it to a server on loopback."""

    def __init__(self, leads_to: tuple[str, int] | None = None) -> None:
        self.leads_to = leads_to
        self.asked_for: list[tuple[object, ...]] = []

    def __call__(self, addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
        self.asked_for.extend(tuple(address) for _, address in addresses)
        if self.leads_to is None:
            raise OSError("nothing there")
        return connect([(int(socket.AF_INET), self.leads_to)], deadline)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "issuer.example", "127.0.0.1")


@pytest.fixture(scope="module")
def plain() -> GuardedFetcher:
    return GuardedFetcher()


def refusal(call: Callable[[], object]) -> TransportError:
    """Return the error and make sure that no form of it repeats the remote side."""
    with pytest.raises(TransportError) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.hint)
    assert SECRET not in shown
    return caught.value


def fetch_raw(fetcher: GuardedFetcher, answer: Answer, **options: object) -> object:
    with raw_server(answer) as server:
        return fetcher.fetch(f"http://127.0.0.1:{server.port}/keys", network=LOOPBACK, **options)  # type: ignore[arg-type]


# --- where a request may go ---


@pytest.mark.parametrize(
    "network, address",
    [
        (PUBLIC, "127.0.0.1"),
        (PUBLIC, "10.0.0.1"),
        (PUBLIC, "169.254.169.254"),
        (PUBLIC, "100.64.0.1"),
        (PRIVATE, "127.0.0.1"),
        (PRIVATE, "192.168.0.1"),
        (PRIVATE, "169.254.169.254"),
        (LOOPBACK, "10.0.0.1"),
        (LOOPBACK, "1.1.1.1"),
    ],
)
def test_an_address_outside_the_issuers_network_is_never_connected_to(network: Network, address: str) -> None:
    """S03, T24: refused before the first packet."""
    wire = Wire()
    fetcher = GuardedFetcher(resolver=FakeResolver(v4(address)), connector=wire)
    error = refusal(lambda: fetcher.fetch("https://issuer.example/", network=network))

    assert (error.retryable, wire.asked_for) == (False, [])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_bad_address_among_good_ones_condemns_the_name(position: int) -> None:
    """S03: otherwise an attacker's name mixes in a good address and waits for the fall-back."""
    addresses = ["1.1.1.1", "8.8.8.8"]
    addresses.insert(position, "10.0.0.1")
    wire = Wire()
    fetcher = GuardedFetcher(resolver=FakeResolver(v4(*addresses)), connector=wire)
    error = refusal(lambda: fetcher.fetch("https://issuer.example/", network=PUBLIC))

    assert (error.retryable, wire.asked_for) == (False, [])


def test_a_name_that_changes_its_mind_is_asked_once(certificate: Certificate) -> None:
    """S03, T27: the connection goes to the vetted address; a second look-up would have said loopback."""
    with raw_server(http_answer(b'{"a":1}'), tls=certificate.server_context) as server:
        resolver = FakeResolver(v4("1.1.1.1", "8.8.8.8"), v4("127.0.0.1"))
        wire = Wire(server.address)
        fetcher = GuardedFetcher(resolver=resolver, connector=wire, ssl_context=certificate.trusting_context())
        fetched = fetcher.fetch("https://issuer.example/", network=PUBLIC)

    assert fetched.body == b'{"a":1}'
    assert resolver.names == [("issuer.example", 443)]
    assert wire.asked_for == [("1.1.1.1", 443), ("8.8.8.8", 443)]


def test_a_resolver_decides_neither_port_nor_scope(certificate: Certificate) -> None:
    """S03, S04: only the vetted number is taken from its answer."""
    wire = Wire()
    answers: list[Address] = [
        (int(socket.AF_INET), ("1.1.1.1", 22)),
        (int(socket.AF_INET6), ("2606:50c0:8000::153", 22, 7, 9)),
    ]
    fetcher = GuardedFetcher(resolver=FakeResolver(answers), connector=wire)
    refusal(lambda: fetcher.fetch("https://issuer.example/", network=PUBLIC))

    assert wire.asked_for == [("1.1.1.1", 443), ("2606:50c0:8000::153", 443, 0, 0)]


@pytest.mark.parametrize("answers", [[], v4(*["1.1.1.1"] * 33), [(int(socket.AF_UNIX), ("1.1.1.1",))]])
def test_an_odd_answer_of_the_resolver_connects_nowhere(answers: list[Address]) -> None:
    """S03: none, far too many, or of a family we do not know."""
    wire = Wire()
    fetcher = GuardedFetcher(resolver=FakeResolver(answers), connector=wire)
    refusal(lambda: fetcher.fetch("https://issuer.example/", network=PUBLIC))

    assert wire.asked_for == []


@pytest.mark.parametrize("network", [PUBLIC, PRIVATE])
def test_plain_http_is_for_loopback_only(network: Network) -> None:
    """S04, D20: refused before the name is even looked up."""
    resolver = FakeResolver(v4("1.1.1.1"))
    error = refusal(
        lambda: GuardedFetcher(resolver=resolver, connector=Wire()).fetch("http://issuer.example/", network=network)
    )

    assert (error.retryable, resolver.names) == (False, [])


@pytest.mark.parametrize(
    "network, url, operator_port, allowed",
    [
        (PUBLIC, "https://issuer.example/", None, True),
        (PUBLIC, "https://issuer.example:443/", None, True),
        (PUBLIC, "https://issuer.example:8443/", None, False),
        (PUBLIC, "https://issuer.example:8443/", 8443, True),
        (PUBLIC, "https://issuer.example:22/", 8443, False),
        (PRIVATE, "https://issuer.example:8443/", None, True),
    ],
)
def test_the_port_is_443_unless_the_operator_names_it(
    network: Network, url: str, operator_port: int | None, allowed: bool
) -> None:
    """S04: an issuer's documents cannot make us knock at other doors."""
    wire = Wire()
    fetcher = GuardedFetcher(resolver=FakeResolver(v4("1.1.1.1")), connector=wire)
    error = refusal(lambda: fetcher.fetch(url, network=network, operator_port=operator_port))

    assert (bool(wire.asked_for), error.retryable) == (allowed, allowed)  # allowed ones end at the wire: nothing there


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.example",
        "ftp://issuer.example/",
        "file:///etc/passwd",
        "HTTPS://issuer.example/",
        "https:/issuer.example/",
        "https://",
        "https://user@issuer.example/",
        "https://user:word@issuer.example/",
        "https://issuer.example#part",
        "https://issuer.example/\r\nX: y",
        "https://issuer.example/ a",
        "https://issuer.example/\n",
        "https://issuer.example\\@evil.example/",
        "https://issuer..example/",
        "https://.example/",
        "https://issuer.example./",
        "https://issuer.example:0/",
        "https://issuer.example:65536/",
        "https://issuer.example:/",
        "https://[::1/",
        "https://\u0456ssuer.example/",
        "https://issuer.example/\u00e9",
        "https://issuer.example/" + "a" * 2048,
    ],
)
def test_a_text_that_is_no_plain_url_is_not_looked_up(url: str) -> None:
    """S02, T21: nothing is repaired, and user information has no place."""
    resolver = FakeResolver(v4("1.1.1.1"))
    error = refusal(lambda: GuardedFetcher(resolver=resolver, connector=Wire()).fetch(url, network=PUBLIC))

    assert (error.retryable, resolver.names) == (False, [])


def test_a_url_is_split_as_written() -> None:
    """K09: hosts are compared in lower case, with the port that is meant."""
    parsed = parse_url("https://Issuer.Example/a/b?c=d")

    assert (parsed.authority, parsed.target) == (("issuer.example", 443), "/a/b?c=d")
    assert parse_url("http://[::1]:8080").authority == ("::1", 8080)


# --- TLS, proxies, credentials, redirects ---


def test_a_certificate_of_somebody_else_is_refused(certificate: Certificate) -> None:
    """S04: right authority, wrong name."""
    with raw_server(http_answer(), tls=certificate.server_context) as server:
        fetcher = GuardedFetcher(
            resolver=FakeResolver(v4("1.1.1.1")),
            connector=Wire(server.address),
            ssl_context=certificate.trusting_context(),
        )
        error = refusal(lambda: fetcher.fetch("https://other.example/", network=PUBLIC))

    assert (error.retryable, server.heads) == (False, [])


def test_a_certificate_of_an_unknown_authority_is_refused(certificate: Certificate) -> None:
    """S04: the system's trust store is the default."""
    with raw_server(http_answer(), tls=certificate.server_context) as server:
        fetcher = GuardedFetcher(resolver=FakeResolver(v4("1.1.1.1")), connector=Wire(server.address))
        error = refusal(lambda: fetcher.fetch("https://issuer.example/", network=PUBLIC))

    assert (error.retryable, server.heads) == (False, [])


def test_a_server_without_tls_is_an_outage(plain: GuardedFetcher) -> None:
    """S04: https stays https."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as sock:
                sock.sendall(http_answer(SECRET.encode()))

        answering = threading.Thread(target=answer)
        answering.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        error = refusal(lambda: plain.fetch(url, network=LOOPBACK, deadline=Deadline(2)))
        answering.join()

    assert error.retryable


@pytest.mark.parametrize("weakness", ["names", "certificates"])
def test_there_is_no_switch_that_turns_verification_off(weakness: str, certificate: Certificate) -> None:
    """S04, D20: not as an argument, and not by changing the context later."""
    context = certificate.trusting_context()
    fetcher = GuardedFetcher(ssl_context=context, resolver=FakeResolver(v4("1.1.1.1")), connector=Wire())
    context.check_hostname = False
    if weakness == "certificates":
        context.verify_mode = ssl.CERT_NONE

    with pytest.raises(ValueError, match="S04"):
        GuardedFetcher(ssl_context=context)
    with pytest.raises(ValueError, match="S04"):
        fetcher.fetch("https://issuer.example/", network=PUBLIC)


def test_proxies_of_the_environment_are_not_asked(plain: GuardedFetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """S04: a proxy would resolve the name once more, for itself."""
    with raw_server(http_answer(b"proxied")) as proxy, raw_server(http_answer(b"direct")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        fetched = plain.fetch(f"http://127.0.0.1:{server.port}/", network=LOOPBACK)

    assert (fetched.body, proxy.connections) == (b"direct", 0)


def test_the_request_says_what_it_must_and_nothing_more(
    plain: GuardedFetcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """S04, T28: no credential (a .netrc is at hand), no cookie, and no compression is asked for."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with raw_server(http_answer(b"{}", "Set-Cookie: a=b")) as server:
        for _ in range(2):
            plain.fetch(f"http://127.0.0.1:{server.port}/a?b=c", network=LOOPBACK, etag='"v1"')
    request_line, *headers = server.heads[1].strip().split("\r\n")

    assert request_line == "GET /a?b=c HTTP/1.1"
    assert sorted(headers) == [
        "Accept-Encoding: identity",
        "Accept: application/json",
        "Cache-Control: no-cache",
        "Connection: close",
        f"Host: 127.0.0.1:{server.port}",
        'If-None-Match: "v1"',
        "User-Agent: keyless",
    ]


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 304])
def test_no_redirect_is_followed(plain: GuardedFetcher, status: int) -> None:
    """S05, T26: not even to the same host; a 304 that nobody asked for is as odd."""
    with raw_server(http_answer()) as target:
        location = f"Location: http://127.0.0.1:{target.port}/{SECRET}"
        error = refusal(lambda: fetch_raw(plain, http_answer(b"", location, status=f"{status} {SECRET}")))

    assert (error.retryable, target.connections) == (False, 0)


# --- size and time ---


def chunked(*chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


def endless(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    yield from itertools.repeat(piece)


CHUNK = b"2000\r\n" + b"a" * 0x2000 + b"\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda: http_answer(b"a" * (MAX_BYTES + 1)), id="content-length"),
        pytest.param(lambda: b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (MAX_BYTES + 1), id="until-close"),
        pytest.param(lambda: chunked(*[CHUNK] * 13, b"0\r\n\r\n"), id="chunked"),
        pytest.param(lambda: endless(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65536), id="endless"),
        pytest.param(lambda: endless(chunked(), CHUNK), id="endless-chunks"),
        # `http.client` takes a chunk size of -1 for "all that comes".
        pytest.param(lambda: endless(chunked(b"-1\r\n"), b"a" * 65536), id="negative-chunk"),
        pytest.param(lambda: endless(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n" * 999), id="continue"),
        pytest.param(lambda: endless(chunked(b"0\r\n"), b"X-Trailer: 1\r\n" * 999), id="endless-trailers"),
    ],
)
def test_an_answer_beyond_the_limit_is_refused_not_cut(plain: GuardedFetcher, answer: Callable[[], Answer]) -> None:
    """K08, T28: 100 KiB, whatever the framing."""
    error = refusal(lambda: fetch_raw(plain, answer()))

    assert not error.retryable


def test_an_answer_at_the_limit_is_taken(plain: GuardedFetcher) -> None:
    """K08: 100 KiB exactly, also in chunks."""
    body = b"a" * MAX_BYTES
    in_chunks = chunked(b"%x\r\n%s\r\n0\r\n\r\n" % (MAX_BYTES, body))
    for answer in (http_answer(body), in_chunks):
        with raw_server(answer) as server:
            assert plain.fetch(f"http://127.0.0.1:{server.port}/", network=LOOPBACK).body == body


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip", SECRET])
def test_a_compressed_answer_is_refused(plain: GuardedFetcher, coding: str) -> None:
    """K08, T28: what is never decompressed cannot be a bomb."""
    error = refusal(lambda: fetch_raw(plain, http_answer(b"\x1f\x8b", f"Content-Encoding: {coding}")))

    assert not error.retryable


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        SECRET.encode(),
        f"HTTP/1.1 {SECRET}\r\n\r\n".encode(),
        f"{SECRET}/1.1 200 OK\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        chunked(SECRET.encode() + b"\r\n"),
        chunked(b"10\r\nshort"),
        chunked(b"-7\r\nshort"),
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"\x16\x03\x01" * 10,
    ],
)
def test_an_answer_that_is_not_whole_http_is_an_outage_without_its_words(plain: GuardedFetcher, answer: bytes) -> None:
    """S06: cut short, or not HTTP at all."""
    assert refusal(lambda: fetch_raw(plain, answer)).retryable


@pytest.mark.parametrize(
    "status, retryable",
    [(500, True), (502, True), (503, True), (429, True), (408, True), (404, False), (403, False), (204, False)],
)
def test_a_status_is_all_that_is_told(plain: GuardedFetcher, status: int, retryable: bool) -> None:
    """S06: neither reason phrase, header nor body comes back."""
    answer = http_answer(SECRET.encode(), f"X-Reason: {SECRET}", status=f"{status} {SECRET}")
    error = refusal(lambda: fetch_raw(plain, answer))

    assert error.retryable is retryable
    assert str(status) in error.message


def drip(*, head: bool) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n" + (b"" if head else b"Content-Length: 1000\r\n\r\n")
    while True:
        time.sleep(0.02)
        yield b"X" if head else b"a"


@pytest.mark.parametrize("head", [True, False], ids=["head", "body"])
def test_a_dripping_answer_ends_at_the_deadline(plain: GuardedFetcher, head: bool) -> None:
    """K07, T28: one deadline for the call, not one per read."""
    began = time.monotonic()
    error = refusal(lambda: fetch_raw(plain, drip(head=head), deadline=Deadline(0.3)))

    assert error.retryable
    assert time.monotonic() - began < 2


def test_a_silent_tls_server_ends_at_the_deadline(plain: GuardedFetcher) -> None:
    """K07: the handshake has its share of the same deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        error = refusal(lambda: plain.fetch(url, network=LOOPBACK, deadline=Deadline(0.3)))

    assert error.retryable


def test_connecting_and_the_whole_call_have_their_bounds() -> None:
    """K07: two seconds for the name, two for the connection, five for all, whatever the caller offers."""
    bounds: list[float] = []

    def resolver(host: str, port: int, deadline: Deadline) -> Sequence[Address]:
        bounds.append(deadline.seconds)
        return v4("1.1.1.1")

    def connector(addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
        bounds.append(deadline.seconds)
        raise TimeoutError

    fetcher = GuardedFetcher(resolver=resolver, connector=connector)
    for offered in (Deadline(60), Deadline(1)):
        refusal(partial(fetcher.fetch, "https://issuer.example/", network=PUBLIC, deadline=offered))

    assert bounds == pytest.approx([2, 2, 1, 1], abs=0.1)


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "no such name"), OSError("odd")])
def test_a_name_that_does_not_resolve_is_an_outage(error: OSError) -> None:
    """D9: name services fail; nobody is refused for that."""

    def resolver(host: str, port: int, deadline: Deadline) -> Sequence[Address]:
        raise error

    assert refusal(lambda: GuardedFetcher(resolver=resolver).fetch("https://a.example/", network=PUBLIC)).retryable


def test_a_refused_connection_is_an_outage(plain: GuardedFetcher) -> None:
    """D9: an issuer that is down is an outage."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert refusal(lambda: plain.fetch(f"http://127.0.0.1:{port}/", network=LOOPBACK)).retryable


# --- what comes back ---


def test_an_unchanged_document_is_not_sent_again(plain: GuardedFetcher) -> None:
    """K11: 304 to If-None-Match."""
    answer = b'HTTP/1.1 304 Not Modified\r\nETag: W/"v2"\r\nCache-Control: public, max-age=900\r\n\r\n'
    with raw_server(answer) as server:
        fetched = plain.fetch(f"http://127.0.0.1:{server.port}/", network=LOOPBACK, etag='W/"v2"')

    assert (fetched.body, fetched.etag, fetched.max_age_seconds) == (None, 'W/"v2"', 900)


@pytest.mark.parametrize("etag", ["v1", '"a\r\nX: y"', '"\u00e9"', '"' + "a" * 300 + '"'])
def test_an_odd_entity_tag_is_neither_kept_nor_sent(plain: GuardedFetcher, etag: str) -> None:
    """K11, S04: a tag of the issuer must not become a header of ours."""
    with raw_server(http_answer(b"{}", "ETag: " + etag.replace("\r\n", "\r\n "))) as server:
        fetched = plain.fetch(f"http://127.0.0.1:{server.port}/", network=LOOPBACK, etag=etag)

    assert fetched.etag is None
    assert "If-None-Match" not in server.heads[0]


@pytest.mark.parametrize(
    "headers, seconds",
    [
        ([], None),
        (["Cache-Control: max-age=600"], 600),
        (["Cache-Control: public, MAX-AGE=600, must-revalidate"], 600),
        (["Cache-Control: max-age=600", "Age: 100"], 500),
        (["Cache-Control: max-age=600", "Age: 1000"], 0),
        (["Cache-Control: max-age=600", "Age: soon"], 600),
        (["Cache-Control: s-maxage=600"], None),
        (["Cache-Control: x-max-age=600"], None),
        (["Cache-Control: max-age=-5"], None),
        (["Cache-Control: max-age=" + "9" * 40], None),
        (["Cache-Control: no-store, max-age=600"], 0),
        (["Cache-Control: no-cache"], 0),
    ],
)
def test_the_lifetime_of_an_answer_is_read(plain: GuardedFetcher, headers: list[str], seconds: int | None) -> None:
    """K02: what the cache then holds within its bounds."""
    with raw_server(http_answer(b"{}", *headers)) as server:
        fetched = plain.fetch(f"http://127.0.0.1:{server.port}/", network=LOOPBACK)

    assert fetched.max_age_seconds == seconds


@pytest.mark.parametrize(
    "headers, date",
    [
        (["Date: Sun, 06 Nov 1994 08:49:37 GMT"], 784111777.0),
        (["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Age: 60"], 784111837.0),
        (["Date: yesterday"], None),
        (["Date: " + "9" * 200], None),
        (["Date: Sun, 06 Nov 99999 08:49:37 GMT"], None),
        ([], None),
    ],
)
def test_the_servers_clock_is_read(plain: GuardedFetcher, headers: list[str], date: float | None) -> None:
    """T53: also behind a cache, and never a failure."""
    with raw_server(http_answer(b"{}", *headers)) as server:
        fetched = plain.fetch(f"http://127.0.0.1:{server.port}/", network=LOOPBACK)

    assert fetched.date == date
