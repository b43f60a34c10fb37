"""SPIRE's agent beside a workload: the workload API on a Unix socket, which gives JWT-SVIDs."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from keyless.http.deadline import Deadline, DeadlineSocket
from keyless.http.grpc import INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, read_fields, write_field
from keyless.http.http2 import DATA, HEADERS, Connection
from keyless.testing.claims import DROP
from keyless.testing.issuer import FakeIssuer
from keyless.testing.mint_server import Asked, MintServer
from keyless.testing.platforms import platform_claims

METHOD: Final = "/SpiffeWorkloadAPI/FetchJWTSVID"
_SECONDS: Final = 30.0  # a connection must not outlive the test


class FakeSpire(MintServer):
    """One workload.

    Args:
        issuer: Signs the JWT-SVIDs: of an operator that runs an OIDC discovery provider.
        claims: What differs from `platform_claims("spiffe")`.
        registered: Whether SPIRE has an entry whose selectors fit the workload.
    """

    def __init__(
        self, issuer: FakeIssuer, claims: Mapping[str, object] | None = None, *, registered: bool = True
    ) -> None:
        super().__init__(issuer, platform_claims("spiffe", **(claims or {})))
        self.registered = registered
        self.status: int | None = None  # a gRPC status to answer with, whatever is asked
        self._directory: Final = tempfile.TemporaryDirectory(prefix="keyless-spire-")
        self.socket_path: Final = str(Path(self._directory.name) / "api.sock")
        self._listener: Final = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket_path)
        self._listener.listen(128)
        self._accepting = threading.Thread(target=self._accept, name="FakeSpire-socket", daemon=True)

    def start(self) -> Self:
        """Begin to serve the socket."""
        if not self._accepting.is_alive():
            self._accepting.start()
        return super().start()

    def close(self) -> None:
        """Stop serving and remove the socket."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._accepting.is_alive():
            self._accepting.join()
        self._directory.cleanup()
        super().close()

    def environ(self) -> dict[str, str]:
        """Return the variables of the workload ("SPIFFE Workload Endpoint")."""
        return {"SPIFFE_ENDPOINT_SOCKET": f"unix://{self.socket_path}"}

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(sock,), name="FakeSpire-call", daemon=True).start()

    def _converse(self, sock: socket.socket) -> None:
        connection = Connection(DeadlineSocket(sock, Deadline(_SECONDS)), is_client=False)
        calls: dict[int, tuple[dict[str, str], bytearray]] = {}
        with contextlib.suppress(OSError, ValueError), contextlib.closing(connection):
            connection.start()
            while (event := connection.receive()) is not None:
                if event.kind == HEADERS:
                    calls[event.stream] = (dict(event.headers), bytearray())
                elif event.kind == DATA and event.stream in calls:
                    calls[event.stream][1].extend(event.data)
                if event.ends and event.stream in calls:
                    headers, received = calls.pop(event.stream)
                    self._answer(connection, event.stream, headers, bytes(received[5:]))

    def _answer(self, connection: Connection, stream: int, headers: Mapping[str, str], message: bytes) -> None:
        fields = [(number, content.decode()) for number, content in read_fields(message)]
        audiences = tuple(text for number, text in fields if number == 1)
        spiffe_ids = tuple(text for number, text in fields if number == 2 and text)
        query = {"audience": audiences, "spiffe_id": spiffe_ids}
        with self._lock:
            self.requests.append(Asked("GRPC", headers.get(":path", ""), query, dict(headers)))
        status = self._status(headers, audiences, spiffe_ids)
        head = [(":status", "200"), ("content-type", "application/grpc")]
        if status:
            connection.send_headers(stream, [*head, ("grpc-status", str(status))], ends=True)
            return
        token = self.sign(list(audiences), jti=DROP, nbf=DROP)
        svid = write_field(1, str(self.claims["sub"]).encode()) + write_field(2, token.encode())
        reply = write_field(1, svid)
        connection.send_headers(stream, head)
        connection.send_data(stream, b"\0" + len(reply).to_bytes(4, "big") + reply)
        connection.send_headers(stream, [("grpc-status", "0")], ends=True)

    def _status(self, headers: Mapping[str, str], audiences: tuple[str, ...], spiffe_ids: tuple[str, ...]) -> int:
        """Decide as the agent does: the security header first."""
        if self.status is not None:
            return self.status
        if headers.get(":path") != METHOD:
            return UNIMPLEMENTED
        if headers.get("workload.spiffe.io") != "true" or not audiences:
            return INVALID_ARGUMENT
        if not self.registered or (spiffe_ids and self.claims["sub"] not in spiffe_ids):
            return PERMISSION_DENIED
        return 0
