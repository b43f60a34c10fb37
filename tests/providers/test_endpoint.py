"""Whatever an id-token endpoint answers becomes a token or one of three errors (S6, S8)."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.errors import MintError, MintUnavailableError
from keyless.http.deadline import Deadline
from keyless.providers.endpoint import Words, ask, parse_object, read_member
from keyless.providers.local_http import is_local_address, sender
from tests.support.stub import Answer, StubServer

SECRET = "bearer-0123456789abcdefghijklmnopqrstuvwxyz"
WORDS = Words("the endpoint", refused={0: "any refusal", 403: "forbidden"}, outage="later")


def call(server: StubServer, *, local: bool = False, seconds: float = 0.5) -> str:
    answer = ask(
        "GET",
        f"{server.url}/mint",
        words=WORDS,
        deadline=Deadline(seconds),
        environ={},
        headers={"Authorization": f"Bearer {SECRET}"},
        secrets=[SECRET],
        send=sender() if local else None,
    )
    return read_member(answer, "token", WORDS)


CASES = [
    ("500", Answer(500), MintUnavailableError, "later"),
    ("503", Answer(503), MintUnavailableError, "later"),
    ("429", Answer(429), MintUnavailableError, "later"),
    ("late", Answer(hangs=True), MintUnavailableError, None),
    ("drops", Answer(200, {"token": "x" * 300}, drip_seconds=0.02), MintUnavailableError, None),
    ("reset", Answer(resets=True), MintUnavailableError, None),
    ("cut", Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), None, None),
    ("400", Answer(400, {"message": "bad"}), MintError, "any refusal"),
    ("403", Answer(403, b"no"), MintError, "forbidden"),
    ("302", Answer(302, headers={"Location": "https://evil.example/"}), MintError, None),
    ("204", Answer(204), MintError, "any refusal"),
    ("html", Answer(200, b"<html>", headers={"Content-Type": "text/html"}), MintError, "proxy"),
    ("deep", Answer(200, b"[" * 30_000), MintError, "proxy"),
    ("list", Answer(200, ["x"]), MintError, "proxy"),
    ("no token", Answer(200, {"value": "x"}), MintError, "proxy"),
    ("number", Answer(200, {"token": 5}), MintError, "proxy"),
    ("two lines", Answer(200, {"token": "a\nb"}), MintError, "proxy"),
    ("oversize", Answer(200, {"token": "x" * 100_000}), MintError, "proxy"),
    ("not http", Answer(raw=b"hello\r\n"), MintError, None),
]


@pytest.mark.parametrize("local", [False, True], ids=["network", "local"])
@pytest.mark.parametrize(("answer", "kind", "hint"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_outage_refusal_and_nonsense_differ(
    answer: Answer, kind: type[MintError] | None, hint: str | None, local: bool
) -> None:
    """S6: each has its class, in time, and none shows the credential."""
    with StubServer() as server:
        server.on("/mint", answer)
        begun = time.monotonic()
        with pytest.raises(MintError) as caught:
            call(server, local=local)

    assert kind is None or type(caught.value) is kind
    assert time.monotonic() - begun < 3
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert hint is None or hint in (caught.value.hint or "")


def test_a_refusal_that_echoes_the_credential_does_not_leak_it() -> None:
    """S8: the platform's words are quoted, redacted."""
    with StubServer() as server:
        server.on("/mint", Answer(400, f"bad token {SECRET[:30]}!".encode(), headers={"Content-Type": "text/plain"}))
        with pytest.raises(MintError, match="bad token") as caught:
            call(server)

    assert SECRET[:12] not in caught.value.message
    assert caught.value.status == 400


def test_a_local_server_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """providers.md 2.7: a proxy would answer with its own machine's identity."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with StubServer() as server:
        server.on("/mint", Answer(200, {"token": "abc"}))

        assert call(server, local=True) == "abc"


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::23", True),
        ("10.0.0.1", True),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("0.0.0.0", False),
        ("metadata", False),
    ],
)
def test_only_private_addresses_are_local(address: str, local: bool) -> None:
    """A resolver that sends the metadata server's name elsewhere gets no request."""
    assert is_local_address(address) is local


def test_a_public_address_gets_no_request() -> None:
    """Nothing is sent, and the message says so."""
    with pytest.raises(MintUnavailableError, match="nothing was sent"):
        ask(
            "GET",
            "http://8.8.8.8/",
            words=WORDS,
            deadline=Deadline(1),
            environ={},
            headers={},
            send=sender(),
        )


@given(st.binary(max_size=300))
def test_any_bytes_are_an_object_or_nothing(content: bytes) -> None:
    """Any bytes from a mint endpoint never crash minting."""
    assert parse_object(content) is None or isinstance(parse_object(content), dict)


@pytest.mark.parametrize("local", [False, True], ids=["network", "local"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=80), head=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
def test_any_bytes_on_the_wire_end_in_our_error(raw: bytes, head: bytes, local: bool) -> None:
    """Any bytes from a mint endpoint never crash minting."""
    with StubServer() as server:
        server.on("/mint", Answer(raw=head + raw))
        try:
            call(server, local=local, seconds=2)
        except MintError:
            return
