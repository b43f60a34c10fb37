"""SPIFFE / SPIRE by the workload API (S11)."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.testing import FakeIssuer
from keyless.testing.spiffe import METHOD, FakeSpire
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of, mint

BUILDER = "spiffe://example.org/ns/ci/sa/builder"


def test_a_registered_workload_gets_an_svid(issuer: FakeIssuer) -> None:
    """One audience, the security header, a new token each time."""
    with FakeSpire(issuer) as spire:
        found = find(spire.environ())
        claims = claims_of(spire.environ())

    assert (found.provider, found.mints_anew) == ("spiffe", True)
    assert (claims["aud"], claims["sub"]) == ([AUDIENCE], BUILDER)
    assert (spire.requests[0].path, spire.requests[0].query["audience"]) == (METHOD, (AUDIENCE,))
    assert spire.requests[0].header("workload.spiffe.io") == "true"


def test_one_of_several_identities_can_be_chosen(issuer: FakeIssuer) -> None:
    """The first is the default; one that is not ours is none."""
    with FakeSpire(issuer) as spire:
        mint({**spire.environ(), "KEYLESS_SPIFFE_ID": BUILDER})
        other = failure({**spire.environ(), "KEYLESS_SPIFFE_ID": "spiffe://example.org/other"})

    assert spire.requests[0].query["spiffe_id"] == (BUILDER,)
    assert "PermissionDenied" in other.message


@pytest.mark.parametrize("spelling", ["unix://{}", "unix:{}", "{}"])
def test_spellings_of_the_socket(issuer: FakeIssuer, spelling: str) -> None:
    """Two of the URI, and the bare path that one client has."""
    with FakeSpire(issuer) as spire:
        assert mint({"SPIFFE_ENDPOINT_SOCKET": spelling.format(spire.socket_path)})


def test_a_port_of_this_machine(issuer: FakeIssuer) -> None:
    """`tcp://IP:port`, which the specification allows; over loopback nobody listens in."""
    with FakeSpire(issuer) as spire, socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            spire._converse(listener.accept()[0])

        threading.Thread(target=serve, daemon=True).start()

        assert mint({"SPIFFE_ENDPOINT_SOCKET": f"tcp://127.0.0.1:{listener.getsockname()[1]}"})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("tcp://192.0.2.1:8081", "KEYLESS_ID_TOKEN_FILE"),
        ("tcp://[2001:db8::1]:8081", "KEYLESS_ID_TOKEN_FILE"),
        ("tcp://localhost:8081", "absolute path"),
        ("tcp://127.0.0.1", "absolute path"),
        ("tcp://127.0.0.1:99999", "absolute path"),
        ("unix://host/run/api.sock", "absolute path"),
        ("relative/api.sock", "absolute path"),
        ("unix:", "absolute path"),
        ("unix:///run/\x1b[2J", "absolute path"),
    ],
)
def test_sockets_that_cannot_be_used(text: str, word: str) -> None:
    """Each with what to write; names are not allowed, and no token comes in clear text over a network."""
    error = failure({"SPIFFE_ENDPOINT_SOCKET": text})

    assert isinstance(error, IdTokenPermissionError)
    assert word in (error.hint or "")


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    """Agent missing: it may still start."""
    error = failure({"SPIFFE_ENDPOINT_SOCKET": f"unix://{tmp_path}/api.sock"})

    assert isinstance(error, MintUnavailableError)
    assert "mounted" in (error.hint or "")


def test_a_socket_without_an_agent(tmp_path: Path) -> None:
    """Left behind by one that ended."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "api.sock"))

    assert "mounted" in hint_of({"SPIFFE_ENDPOINT_SOCKET": f"unix://{tmp_path}/api.sock"})


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become somebody who may not")
def test_a_socket_of_somebody_else(issuer: FakeIssuer) -> None:
    """Permissions are not an outage."""
    with FakeSpire(issuer) as spire:
        Path(spire.socket_path).chmod(0o600)
        os.seteuid(12_345)
        try:
            error = failure(spire.environ())
        finally:
            os.seteuid(0)

    assert type(error) is MintError
    assert "user" in (error.hint or "")


def test_an_unregistered_workload_may_try_again(issuer: FakeIssuer) -> None:
    """providers.md 2.10: PermissionDenied means not registered (yet)."""
    with FakeSpire(issuer, registered=False) as spire:
        error = failure(spire.environ())

    assert isinstance(error, MintUnavailableError)
    assert "selectors" in (error.hint or "")


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (3, MintError, "other than a SPIFFE workload API"),
        (4, MintUnavailableError, "cut off"),
        (8, MintUnavailableError, ""),
        (12, MintError, "other than a SPIFFE workload API"),
        (13, MintUnavailableError, ""),
        (14, MintUnavailableError, "Does the agent run"),
    ],
)
def test_each_status_says_whether_to_try_again(
    issuer: FakeIssuer, status: int, kind: type[MintError], word: str
) -> None:
    """InvalidArgument is reported, not retried ("SPIFFE Workload Endpoint")."""
    with FakeSpire(issuer) as spire:
        spire.status = status
        error = failure(spire.environ())

    assert type(error) is kind
    assert word in (error.hint or "")


def serve_once(folder: Path, answer: bytes) -> dict[str, str]:
    """Put fixed bytes behind a socket, as something that is no agent would."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "api.sock"))
    listener.listen()

    def run() -> None:
        with listener, listener.accept()[0] as sock:
            sock.sendall(answer)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65_536):  # closed with something unread, the answer would be lost
                pass

    threading.Thread(target=run, daemon=True).start()
    return {"SPIFFE_ENDPOINT_SOCKET": f"unix://{folder}/api.sock"}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", bytes(range(256))])
def test_something_else_behind_the_socket(tmp_path: Path, answer: bytes) -> None:
    """Never a crash."""
    assert "other than a SPIFFE workload API" in hint_of(serve_once(tmp_path, answer))


def test_an_agent_that_hangs(tmp_path: Path) -> None:
    """The deadline bounds it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "api.sock"))
    listener.listen()
    with listener:
        error = failure({"SPIFFE_ENDPOINT_SOCKET": f"unix://{tmp_path}/api.sock"}, seconds=0.3)

    assert isinstance(error, MintUnavailableError)
    assert "cut off" in (error.hint or "")
