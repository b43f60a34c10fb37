"""A network namespace with a cable to the machine's own network that can be pulled out (Linux, root)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

OUTSIDE, INSIDE, PREFIX = "10.213.7.1", "10.213.7.2", 30
NETWORK: Final = "10.213.7.0/30"
CHUNK: Final = 65536


class Cable:
    """The namespace's name, and its cable."""

    def __init__(self) -> None:
        self.name = f"kl{os.getpid()}"
        self._outside, self._inside = f"{self.name}o", f"{self.name}i"

    @property
    def command(self) -> tuple[str, ...]:
        """Return the words that start a program in the namespace."""
        return ("ip", "netns", "exec", self.name)

    def plug(self) -> None:
        """Make the namespace and the cable."""
        _ip("netns", "add", self.name)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", self._inside, "netns", self.name)
        _ip("addr", "add", f"{OUTSIDE}/{PREFIX}", "dev", self._outside)
        _ip("link", "set", self._outside, "up")
        _ip("-n", self.name, "addr", "add", f"{INSIDE}/{PREFIX}", "dev", self._inside)
        _ip("-n", self.name, "link", "set", self._inside, "up")
        _ip("-n", self.name, "link", "set", "lo", "up")

    def cut(self, port: int) -> None:
        """Lose every packet between the namespace and one port of the machine, in silence."""
        # A route into nowhere for what comes back is not enough: the port is closed on the way there and back.
        for chain in ("INPUT", "OUTPUT"):
            self._table("-A", chain, port)

    def mend(self, port: int) -> None:
        """Let packets through again."""
        for chain in ("INPUT", "OUTPUT"):
            self._table("-D", chain, port)

    def remove(self) -> None:
        """Remove namespace and cable."""
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._outside)

    def _table(self, act: str, chain: str, port: int) -> None:
        side = ("--sport", "-i") if chain == "INPUT" else ("--dport", "-o")
        command = [*self.command, "iptables", act, chain, side[1], self._inside, "-p", "tcp", side[0], str(port)]
        subprocess.run([*command, "-j", "DROP"], check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def bridge(cable: Cable, port: int, folder: Path) -> Iterator[None]:
    """Make a loopback port of the machine a loopback port of the namespace, past the cable: over a Unix socket."""
    path = folder / "bridge.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    threading.Thread(target=_serve, args=(listener, lambda: _tcp(port)), daemon=True).start()
    child = subprocess.Popen([*cable.command, sys.executable, __file__, str(port), str(path)])
    try:
        yield
    finally:
        child.kill()
        child.wait()
        listener.close()


def _tcp(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def _unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def _serve(listener: socket.socket, connect: object) -> None:
    while True:
        try:
            one, _ = listener.accept()
        except OSError:
            return
        try:
            other = connect()  # type: ignore[operator]  # a function without arguments
        except OSError:
            one.close()
            continue
        for source, target in ((one, other), (other, one)):
            threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    for sock in (source, target):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    local = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    _serve(local, lambda: _unix(sys.argv[2]))
