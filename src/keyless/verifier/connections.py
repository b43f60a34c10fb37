"""Keep-alive connections to one endpoint of the token service: a question needs no new connection each time.

Standard library only. The deadline of each question bounds every socket operation of it.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyless.errors import TransportError
from keyless.http import tls
from keyless.http.deadline import Deadline, DeadlineExceededError, DeadlineSocket, connect, resolve
from keyless.http.url import is_loopback, parse_url, require_secure

MAX_IDLE: Final = 16  # a resource server's worker threads; more open one for the moment
MAX_ANSWER_BYTES: Final = 256 * 1024  # a page of the feed; an answer about one token has 1 kB


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, body, and the `Retry-After` header (empty when absent)."""

    status: int
    body: bytes
    retry_after: str


class Connections:
    """Ask one URL over a small pool of connections.

    Args:
        url: https, or http to this machine or to a host of `KEYLESS_INSECURE_HTTP_HOSTS`.
        what: The endpoint's name, for messages.
        timeout_seconds: For one question, connecting included.

    Raises:
        ConfigurationError: The URL cannot be used.
    """

    def __init__(self, url: str, what: str, *, timeout_seconds: float) -> None:
        self._url: Final = parse_url(url, name=f"the URL of the {what}")
        self._where: Final = f"the {what} at {self._url.authority}"
        require_secure(self._url, environ=os.environ)
        self._timeout_seconds: Final = timeout_seconds
        self._lock: Final = threading.Lock()
        self._idle: list[socket.socket] = []
        self._process_id = os.getpid()

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one question and read its answer. It may be sent twice, so it must not change anything.

        Raises:
            TransportError: No usable answer came in time.
        """
        return self._ask("POST", self._url.target, body, headers)

    def get(self, query: str, headers: Mapping[str, str]) -> Answer:
        """Ask with a query string, percent-encoded, and read the answer.

        Raises:
            TransportError: No usable answer came in time.
        """
        return self._ask("GET", f"{self._url.target}?{query}", None, headers)

    def _ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        deadline, where = Deadline(self._timeout_seconds), self._where
        try:
            if (sock := self._take_idle()) is not None:
                try:
                    return self._converse(sock, method, target, body, headers, deadline)
                except (http.client.RemoteDisconnected, ConnectionError):
                    pass  # the server closed an idle connection; a new one tells whether it is there
            return self._converse(self._open(deadline), method, target, body, headers, deadline)
        except DeadlineExceededError:
            raise TransportError(f"{where} gave no answer in {self._timeout_seconds:g} s", retryable=True) from None
        except ssl.SSLError as error:
            what, hint = tls.describe(error)
            raise TransportError(f"{where} cannot be trusted: {what}", retryable=False, hint=hint) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # Not chained: the cause may quote what was sent.
            raise TransportError(f"{where} gave no answer ({type(error).__name__})", retryable=True) from None

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for sock in idle:
            sock.close()

    def _open(self, deadline: Deadline) -> socket.socket:
        addresses = resolve(self._url.host, self._url.port, deadline)
        if self._url.is_loopback:  # the name "localhost" is a promise, not a proof
            addresses = [(family, address) for family, address in addresses if is_loopback(str(address[0]))]
        if self._url.scheme == "http":
            return connect(addresses, deadline)
        return tls.connect_trusted(lambda: connect(addresses, deadline), self._url.host, deadline)

    def _converse(
        self,
        sock: socket.socket,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: Deadline,
    ) -> Answer:
        reusable = False
        try:
            connection = http.client.HTTPConnection(self._url.host, self._url.port)
            connection.sock = DeadlineSocket(sock, deadline)
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self._url.authority)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            with connection.getresponse() as response:
                content = response.read(MAX_ANSWER_BYTES + 1)
                if len(content) > MAX_ANSWER_BYTES or response.length:
                    raise http.client.HTTPException("too long, or cut short")
                reusable = not response.will_close
                return Answer(response.status, content, response.headers.get("Retry-After", ""))
        finally:
            if not (reusable and self._put_idle(sock)):
                sock.close()

    def _take_idle(self) -> socket.socket | None:
        with self._lock:
            if self._process_id != os.getpid():  # after a fork the parent's connections are not ours to speak on
                self._process_id, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None

    def _put_idle(self, sock: socket.socket) -> bool:
        with self._lock:
            if len(self._idle) >= MAX_IDLE:
                return False
            self._idle.append(sock)
            return True
