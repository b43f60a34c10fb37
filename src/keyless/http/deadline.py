"""One deadline for a whole HTTP call, kept by every single socket operation.

A socket time-out alone bounds each read, so a peer that drips one byte a second holds a caller for ever (T28). Here
each operation gets what is left of the deadline. Standard library only; nothing is read from the environment.
"""

from __future__ import annotations

import io
import socket
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

Address = tuple[int, tuple[object, ...]]  # (address family, socket address) as `socket.getaddrinfo` gives them


class DeadlineExceededError(TimeoutError):
    """The call's deadline passed."""


class Deadline:
    """Count down from a number of seconds.

    Args:
        seconds: Time allowed for everything that shares this deadline.
        monotonic: Clock in seconds; a parameter so that tests need not wait.
    """

    __slots__ = ("_ends_at", "_monotonic", "seconds")

    def __init__(self, seconds: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seconds: Final = seconds
        self._monotonic: Final = monotonic
        self._ends_at: Final = monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self._ends_at - self._monotonic())

    def check(self) -> float:
        """Return the seconds left.

        Raises:
            DeadlineExceededError: Nothing is left.
        """
        left = self.remaining()
        if left <= 0:
            raise DeadlineExceededError(f"no answer within {self.seconds:g} s")
        return left

    def within(self, seconds: float) -> Deadline:
        """Return a deadline for one step: `seconds`, or what is left of this one if that is less."""
        return Deadline(min(seconds, self.remaining()), monotonic=self._monotonic)


class _DeadlineReader(io.RawIOBase):
    def __init__(self, owner: DeadlineSocket, sock: socket.socket, deadline: Deadline) -> None:
        self._owner = owner
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.check())
        try:
            return self._sock.recv_into(buffer)
        except TimeoutError:
            raise DeadlineExceededError(f"no answer within {self._deadline.seconds:g} s") from None

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner._reader_closed()


class DeadlineSocket:
    """Wrap a connected socket with the three methods that `http.client` uses, each bound by the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._readers = 0
        self._closed = False

    def sendall(self, data: bytes) -> None:
        """Send everything or raise `DeadlineExceededError`."""
        # Piece by piece: `ssl.SSLSocket.sendall` gives every piece the whole time-out again.
        view = memoryview(data)
        while view:
            try:
                self._sock.settimeout(self._deadline.check())
                sent = self._sock.send(view)
            except TimeoutError:  # of the socket, or the deadline's own between two pieces
                raise DeadlineExceededError(f"could not send within {self._deadline.seconds:g} s") from None
            view = view[sent:]

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        """Return a reader whose every read is bound by the deadline."""
        self._readers += 1
        return io.BufferedReader(_DeadlineReader(self, self._sock, self._deadline))

    def close(self) -> None:
        """Close the connection once no reader is open.

        `http.client` closes its socket before the body of a `Connection: close` answer is read, as a real socket
        allows too.
        """
        self._closed = True
        if self._readers == 0:
            self._sock.close()

    def _reader_closed(self) -> None:
        self._readers -= 1
        if self._closed and self._readers == 0:
            self._sock.close()


def literal_address(host: str, port: int) -> list[Address]:
    """Return the address that is written out in figures, or nothing where `host` is a name."""
    for family, address in ((socket.AF_INET, (host, port)), (socket.AF_INET6, (host, port, 0, 0))):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(int(family), address)]
    return []


def resolve(host: str, port: int, deadline: Deadline) -> list[Address]:
    """Resolve a host name to stream addresses within the deadline.

    `socket.getaddrinfo` cannot be interrupted, so it runs in a daemon thread that is left behind when it hangs. An
    address in figures needs neither.

    Raises:
        DeadlineExceededError: The resolver did not answer in time.
        OSError: The name does not resolve (`socket.gaierror`).
    """
    literal = literal_address(host, port)
    if literal:
        return literal
    # As bytes an ASCII name does not load the idna codec and its tables.
    name = host.encode("ascii") if host.isascii() and all(0 < len(label) < 64 for label in host.split(".")) else host
    answer: list[Address] = []
    failure: list[OSError] = []

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except OSError as error:
            failure.append(error)
        except ValueError as error:  # includes UnicodeError: a label of more than 63 characters, a null character
            failure.append(socket.gaierror(socket.EAI_NONAME, f"not a host name: {error}"))
        else:
            answer.extend((int(family), tuple(address)) for family, _, _, _, address in found)

    worker = threading.Thread(target=look_up, name="keyless-resolve", daemon=True)
    worker.start()
    worker.join(deadline.check())
    if failure:
        raise failure[0]
    if worker.is_alive():
        raise DeadlineExceededError(f"{host} did not resolve within {deadline.seconds:g} s")
    return answer


def connect(addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
    """Connect to the first address that answers.

    Raises:
        DeadlineExceededError: None answered in time.
        OSError: Every address refused; the last reason is raised.
    """
    last: OSError = OSError("no address to connect to")
    for position, (family, address) in enumerate(addresses):
        share = deadline.check() / (len(addresses) - position)  # a dead first address must not eat the whole time
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(share)
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    if isinstance(last, TimeoutError):
        raise DeadlineExceededError(f"no connection within {deadline.seconds:g} s") from None
    raise last
