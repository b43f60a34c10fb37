"""The short way of a token request through the HTTP server: every way leads to the same answers (D17).

Here with real sockets and a service of its own; every cut and every clock are in `test_connection.py`.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from keyless.testing import FakeIssuer
from tests.support.running import GRANT, ID_TOKEN, RunningService

Answer = tuple[int, dict[str, str], dict[str, object]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Run a service as a process."""
    directory: Path = tmp_path_factory.mktemp("protocol")
    with FakeIssuer() as issuer:
        service = RunningService(directory, issuer)
        service.start()
        yield service
        assert service.stop() == 0


def body_of(running: RunningService) -> bytes:
    members = {"grant_type": GRANT, "subject_token_type": ID_TOKEN, "subject_token": running.mint()}
    return urlencode({**members, "resource": "acme/model"}).encode()


def head(running: RunningService, length: int, *more: str, version: str = "1.1", path: str = "/oauth/token") -> bytes:
    lines = [f"POST {path} HTTP/{version}", f"Host: 127.0.0.1:{running.port}", f"Content-Length: {length}"]
    lines += ["Content-Type: application/x-www-form-urlencoded", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(running: RunningService) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=20)


class _Reply(io.BytesIO):
    def makefile(self, *_args: object) -> io.BytesIO:
        return self


def read_answers(sock: socket.socket, count: int) -> list[Answer]:
    """Read so many whole answers, or up to the end."""
    received = b""
    answers: list[Answer] = []
    while len(answers) < count:
        before, ended, rest = received.partition(b"\r\n\r\n")
        if ended:
            response = http.client.HTTPResponse(_Reply(before + ended))  # type: ignore[arg-type]  # reads it only
            response.begin()
            length = int(response.headers["content-length"])
            if len(rest) >= length:
                headers = {name.lower(): value for name, value in response.getheaders()}
                answers.append((response.status, headers, json.loads(rest[:length] or b"{}")))
                received = rest[length:]
                continue
        data = sock.recv(65536)
        if not data:
            break
        received += data
    return answers


def test_the_short_way_and_the_long_way_give_the_same_answer(running: RunningService) -> None:
    """V19, D17: one piece, two pieces and many pieces differ in nothing but the token and the request id."""
    shapes = []
    for size in (100_000, 500, 7):
        body = body_of(running)
        whole = head(running, len(body)) + body
        with connect(running) as sock:
            for start in range(0, len(whole), size):
                sock.sendall(whole[start : start + size])
                if size < 100_000 and start < 3 * size:
                    time.sleep(0.02)
            ((status, headers, content),) = read_answers(sock, 1)
        assert status == 200
        assert headers["x-request-id"]
        assert headers["date"]
        shapes.append((sorted(headers), sorted(content), content["scope"], content["expires_in"]))
    assert shapes[0] == shapes[1] == shapes[2]


def test_a_connection_serves_one_request_after_the_other(running: RunningService) -> None:
    """RFC 9112 section 9.3: keep-alive, refusals included, and whatever else the listener serves in between."""
    with connect(running) as sock:
        for _ in range(3):
            body = body_of(running)
            sock.sendall(head(running, len(body)) + body)
            assert read_answers(sock, 1)[0][0] == 200
            sock.sendall(head(running, 3) + b"a=b")
            (refusal,) = read_answers(sock, 1)
            assert (refusal[0], refusal[2]["error"]) == (400, "invalid_request")
            sock.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode())
            assert read_answers(sock, 1)[0][0] == 200


def test_requests_sent_at_once_are_answered_in_their_order(running: RunningService) -> None:
    """RFC 9112 section 9.3.2: pipelined requests, of which only the first can go the short way."""
    good, other = body_of(running), b"grant_type=other"
    with connect(running) as sock:
        sock.sendall(head(running, len(good)) + good + head(running, len(other)) + other + head(running, 0))
        first, second, third = read_answers(sock, 3)
    assert first[0] == 200
    assert second[2]["error"] == "unsupported_grant_type"
    assert third[2]["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("more", "version"), [(("Connection: close",), "1.1"), ((), "1.0")], ids=["connection: close", "HTTP/1.0"]
)
def test_who_wants_the_connection_closed_gets_it_closed(
    running: RunningService, more: tuple[str, ...], version: str
) -> None:
    """RFC 9112 section 9.6."""
    body = body_of(running)
    with connect(running) as sock:
        sock.sendall(head(running, len(body), *more, version=version) + body)
        ((status, headers, _),) = read_answers(sock, 2)
    assert (status, headers["connection"]) == (200, "close")


def test_whoever_asks_before_sending_is_told_to_go_on(running: RunningService) -> None:
    """RFC 9110 section 10.1.1: curl asks so for larger bodies."""
    body = body_of(running)
    with connect(running) as sock:
        sock.sendall(head(running, len(body), "Expect: 100-continue"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert read_answers(sock, 1)[0][0] == 200


def test_a_body_in_chunks_is_a_body(running: RunningService) -> None:
    """RFC 9112 section 7.1."""
    body = body_of(running)
    lines = head(running, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with connect(running) as sock:
        sock.sendall(
            lines + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
        )
        assert read_answers(sock, 1)[0][0] == 200


def test_two_lengths_are_no_request(running: RunningService) -> None:
    """RFC 9112 section 6.3: a length and chunks together are how requests are smuggled."""
    body = body_of(running)
    with connect(running) as sock:
        sock.sendall(head(running, len(body), "Transfer-Encoding: chunked") + body)
        answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_too_much_is_refused_on_the_short_way_too(running: RunningService) -> None:
    """V01: 64 KiB, and not one byte more."""
    for size, expected in ((64 * 1024, 400), (64 * 1024 + 1, 413)):
        with connect(running) as sock:
            sock.sendall(head(running, size) + b"a" * size)
            assert read_answers(sock, 1)[0][0] == expected


def test_a_caller_who_goes_away_disturbs_nobody(running: RunningService) -> None:
    """D9: the next caller is served as ever."""
    for _ in range(5):
        body = body_of(running)
        with connect(running) as sock:
            sock.sendall(head(running, len(body)) + body)
    assert running.exchange()[0] == 200
    log = (running.directory / "serve.log").read_text()
    assert "Traceback" not in log


def test_who_sends_no_more_reads_his_answer(running: RunningService) -> None:
    """RFC 9112 section 9.6: half a connection is open until the answer is through."""
    body = body_of(running)
    with connect(running) as sock:
        sock.sendall(head(running, len(body)) + body)
        sock.shutdown(socket.SHUT_WR)
        ((status, _, _),) = read_answers(sock, 2)  # and then the end of the connection, said before or not
    assert status == 200


def test_five_hundred_and_twelve_idle_connections_refuse_nobody(running: RunningService) -> None:
    """D17: admission counts requests, not connections."""
    idle = [connect(running) for _ in range(512)]
    try:
        assert running.exchange()[0] == 200
        body = body_of(running)
        idle[-1].sendall(head(running, len(body)) + body)
        assert read_answers(idle[-1], 1)[0][0] == 200
    finally:
        for sock in idle:
            sock.close()


def test_connections_that_break_anywhere_disturb_nobody(running: RunningService) -> None:
    """D9, T11: a reset in the head, in the body, in the exchange, with answers unread; nothing is logged."""
    body = body_of(running)
    request = head(running, len(body)) + body
    for sent in (
        b"",
        request[:20],
        request[:-10],
        request,
        request + b"\x00",
        b"GET /oauth/jwks HTTP/1.1\r\nHost: a\r\n\r\n" * 40,
    ):
        with connect(running) as sock:
            sock.sendall(sent)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert running.exchange()[0] == 200
    log = (running.directory / "serve.log").read_text()
    assert "Traceback" not in log
    assert "Fatal" not in log


def test_who_reads_late_gets_everything(running: RunningService) -> None:
    """RFC 9112 section 9.3.2: many requests at once, of both ways, and nothing read before all are sent."""
    ask = f"GET /oauth/jwks HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode()
    bodies = [body_of(running) for _ in range(20)]
    with connect(running) as sock:
        for body in bodies:
            sock.sendall(head(running, len(body)) + body + ask)
        answers = read_answers(sock, 40)
    assert [status for status, _, _ in answers] == [200] * 40
    assert ["access_token" in content for _, _, content in answers] == [True, False] * 20


def test_noise_is_told_so_and_hung_up_on(running: RunningService) -> None:
    """D9: who speaks TLS to us, or nothing at all that we know, gets one 400 and the end of the connection."""
    with connect(running) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200)
        ((status, headers, content),) = read_answers(sock, 2)
    assert (status, headers["connection"], content["error"]) == (400, "close", "invalid_request")
