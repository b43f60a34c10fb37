"""One deadline for every step of a call (T28)."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from keyless.http.deadline import Deadline, DeadlineExceededError, DeadlineSocket, connect, resolve


def test_a_deadline_counts_down() -> None:
    """Never below zero; a step's deadline never outlives the whole."""
    now = [0.0]
    deadline = Deadline(10, monotonic=lambda: now[0])
    now[0] = 4
    step = deadline.within(100)

    assert (deadline.remaining(), step.remaining(), deadline.within(1).remaining()) == (6, 6, 1)
    now[0] = 11
    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExceededError, match="within 10 s"):
        deadline.check()


def test_a_peer_that_drips_does_not_reset_the_clock() -> None:
    """A time-out per read would be met by one byte every moment."""
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.02):
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError), DeadlineSocket(ours, Deadline(0.3)).makefile("rb") as reader:
        reader.read(10_000)
    stop.set()
    thread.join()
    ours.close()
    theirs.close()

    assert 0.25 < time.monotonic() - begun < 10  # 200 s, were it one deadline per read


def test_a_peer_that_does_not_read_stops_the_sender() -> None:
    """Sending is inside the deadline too."""
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(DeadlineExceededError, match="could not send"):
        DeadlineSocket(ours, Deadline(0.2)).sendall(b"x" * 50_000_000)


def test_closing_waits_for_the_reader() -> None:
    """`http.client` closes its socket before it reads a `Connection: close` answer."""
    ours, theirs = socket.socketpair()
    wrapped = DeadlineSocket(ours, Deadline(2))
    reader = wrapped.makefile("rb")
    theirs.sendall(b"late")
    theirs.close()
    wrapped.close()

    assert reader.read() == b"late"
    reader.close()
    assert ours.fileno() == -1


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", None)])
def test_resolve(host: str, expected: str | None) -> None:
    """Addresses need no resolver, names do."""
    addresses = [address[0] for _, address in resolve(host, 80, Deadline(5))]

    assert addresses == [expected] if expected else set(addresses) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["a" * 64, "x..y", "a\x00b", "\udcff"])
def test_a_name_that_is_none_does_not_resolve(host: str) -> None:
    """The idna codec's UnicodeError is not for callers."""
    with pytest.raises(OSError, match=r"."):
        resolve(host, 80, Deadline(5))


def test_a_hanging_resolver_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """`getaddrinfo` cannot be interrupted, so nobody waits for it."""
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: release.wait(5) and [])
    with pytest.raises(DeadlineExceededError, match="did not resolve"):
        resolve("slow.example", 80, Deadline(0.1))
    release.set()


def test_the_second_address_is_tried() -> None:
    """A dead first address does not fail the call."""
    with socket.create_server(("127.0.0.1", 0)) as dead:
        dead_address = dead.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as alive:
        family = int(socket.AF_INET)
        with connect([(family, dead_address), (family, alive.getsockname())], Deadline(5)) as sock:
            assert sock.getpeername() == alive.getsockname()


def test_no_address_is_an_error() -> None:
    """An empty list connects to nothing."""
    with pytest.raises(OSError, match="no address"):
        connect([], Deadline(1))
