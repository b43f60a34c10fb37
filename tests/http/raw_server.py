"""A server on loopback that sends exactly the bytes a test wants, however wrong they are."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

Answer = bytes | Iterable[bytes]


def http_answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """Write a well-formed answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class RawServer:
    """Answer every connection with `answer(request_head)`; remember the heads."""

    def __init__(self, answer: Callable[[str], Answer], *, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        self.connections = 0
        self.heads: list[str] = []
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(10)
            with self._tls.wrap_socket(sock, server_side=True) if self._tls else sock as channel:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (data := channel.recv(4096)):
                        return
                    head += data
                self.heads.append(head.decode("latin-1"))
                answer = self._answer(self.heads[-1])
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    channel.sendall(piece)

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join(5)


@contextlib.contextmanager
def raw_server(answer: Answer | Callable[[str], Answer], *, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Serve until the block ends."""
    server = RawServer(answer if callable(answer) else lambda _head: answer, tls=tls)
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and the context that serves it."""

    pem: str
    server_context: ssl.SSLContext

    def trusting_context(self) -> ssl.SSLContext:
        """Return a context as the real one is, with this certificate as its only authority."""
        return ssl.create_default_context(cadata=self.pem)


def make_certificate(folder: Path, *names: str) -> Certificate:
    """Make a certificate for host names and addresses, valid today."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keyless tests")])
    now = dt.datetime.now(dt.UTC)
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    chain = folder / "server.pem"
    chain.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return Certificate(pem.decode(), context)
