"""With empty bodies: the raw server does not read them, and closing on unread bytes can swallow its own answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.errors import TransportError
from keyless.verifier.connections import MAX_ANSWER_BYTES, Connections
from tests.http.raw_server import Certificate, http_answer, make_certificate, raw_server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture
def connections() -> Iterator[list[Connections]]:
    """Connections to close at the end."""
    made: list[Connections] = []
    yield made
    for each in made:
        each.close()


def test_certificate_of_a_trusted_authority_is_accepted(
    certificate: Certificate, connections: list[Connections], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """D27: https with a private authority, named in `SSL_CERT_FILE`."""
    (tmp_path / "authority.pem").write_text(certificate.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with raw_server(http_answer(b"{}"), tls=certificate.server_context) as server:
        pool = Connections(f"https://127.0.0.1:{server.port}/", "endpoint", timeout_seconds=5)
        connections.append(pool)

        assert pool.post(b"", {}).status == 200


def test_certificate_of_a_stranger_is_not(certificate: Certificate) -> None:
    """T102: the credential is not sent to whoever answers."""
    with raw_server(http_answer(b"{}"), tls=certificate.server_context) as server:
        pool = Connections(f"https://127.0.0.1:{server.port}/", "endpoint", timeout_seconds=5)
        with pytest.raises(TransportError) as caught:
            pool.post(b"", {})

        assert "cannot be trusted" in str(caught.value)
        assert server.heads == []


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(b"x" * (MAX_ANSWER_BYTES + 1)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"",
    ],
    ids=["too-long", "cut-short", "not-http", "bad-status", "nothing"],
)
def test_answer_that_is_none_is_an_outage(answer: bytes) -> None:
    """T11, D9: bounded, and one kind of error for whatever comes."""
    with raw_server(answer) as server:
        pool = Connections(f"http://127.0.0.1:{server.port}/", "endpoint", timeout_seconds=5)
        with pytest.raises(TransportError):
            pool.post(b"", {})


def test_name_that_does_not_resolve_is_an_outage() -> None:
    """D9."""
    pool = Connections("https://nobody.invalid/", "endpoint", timeout_seconds=5)
    with pytest.raises(TransportError):
        pool.post(b"", {})


def test_forked_child_opens_its_own_connection(connections: list[Connections]) -> None:
    """A connection is not shared by two processes: their questions would mix."""
    with raw_server(http_answer(b"{}")) as server:
        pool = Connections(f"http://127.0.0.1:{server.port}/", "endpoint", timeout_seconds=5)
        connections.append(pool)
        pool.post(b"", {})
        pool._process_id = os.getpid() + 1  # as after a fork
        inherited = list(pool._idle)

        pool.post(b"", {})

        assert server.connections == 2
        for sock in inherited:
            sock.close()


def test_crowd_keeps_a_bounded_number_of_connections(
    connections: list[Connections], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst does not leave a hundred idle connections behind."""
    monkeypatch.setattr("keyless.verifier.connections.MAX_IDLE", 0)
    with raw_server(http_answer(b"{}")) as server:
        pool = Connections(f"http://127.0.0.1:{server.port}/", "endpoint", timeout_seconds=5)
        connections.append(pool)
        pool.post(b"", {})

        assert pool._idle == []
