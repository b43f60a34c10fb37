"""The one way in which this project fetches a document from an issuer (S01-S09, D20).

Whoever names a host name decides where a request goes, so the name is resolved once, every answer is held against what
the operator allowed for that issuer, and the connection is made to the vetted address: a second look-up could give
another answer (T27). One total deadline, one size limit, no redirect, no credential, and no proxy but one that the
operator named for this issuer: then a list of hosts takes the place of the addresses, which only the proxy sees (D20).
There is no switch that turns a check off; tests bring their own resolver and trust store.
"""

from __future__ import annotations

import email.utils
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from keyless.errors import TransportError
from keyless.http.addresses import AllowedNetwork, why_refused
from keyless.http.deadline import Address, Deadline, DeadlineExceededError, DeadlineSocket, connect, resolve
from keyless.http.tunnel import ask_for_tunnel

CONNECT_SECONDS: Final = 2.0  # K07
TOTAL_SECONDS: Final = 5.0  # K07
MAX_BYTES: Final = 100 * 1024  # K08; not lower: a real key set was larger than 50 KB (GluuFederation/flex#969)
MAX_URL_CHARS: Final = 2048
_FORM_STATUSES: Final = frozenset({200, 400, 401})
_FRAMING_BYTES: Final = 64 * 1024  # status line, headers and the sizes of chunks
_MAX_ADDRESSES: Final = 32  # a name with more answers is not an issuer's

_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
    r"(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,254}"')  # RFC 9110 section 8.8.3, ASCII only
_MAX_AGE: Final = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?([0-9]{1,10})"?(?=[,\s]|$)', re.IGNORECASE)
_NO_STORE: Final = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?=[,\s=]|$)", re.IGNORECASE)

Resolver = Callable[[str, int, Deadline], Sequence[Address]]
Connector = Callable[[Sequence[Address], Deadline], socket.socket]


@dataclass(frozen=True, slots=True)
class Url:
    """Hold the parts of an http(s) URL as text; `host` has no brackets and is in lower case."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> tuple[str, int]:
        """Return host and port, for comparing two URLs."""
        return self.host, self.port


def parse_url(url: str) -> Url:
    """Split a URL without guessing: ASCII, no user information, no fragment, nothing repaired.

    Raises:
        ValueError: The text is not such a URL. The message never repeats the text, which may come from outside.
    """
    if len(url) > MAX_URL_CHARS or (match := _URL.fullmatch(url)) is None:
        raise ValueError("not a plain http(s) URL")
    host = match["host"].strip("[]").lower()
    if ".." in host:
        raise ValueError("the URL's host has an empty label")
    port = int(match["port"] or {"https": 443, "http": 80}[match["scheme"]])
    if port > 65535:
        raise ValueError("the URL's port is above 65535")
    return Url(match["scheme"], host, port, (match["path"] or "/") + (match["query"] or ""))


@dataclass(frozen=True, slots=True)
class Fetched:
    """Hold one answer.

    `body` is `None` when the server said that nothing changed (304). `max_age_seconds` is what is left of the
    answer's `Cache-Control` lifetime, `None` when it named none. `date` is the server's clock (unix seconds) when it
    answered, `None` when it did not say. `status` is another than 200 only where a form may be answered so.
    """

    body: bytes | None
    etag: str | None = None
    max_age_seconds: int | None = None
    date: float | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class _Sent:
    """What goes out with a POST, and with which statuses the answer is read; with none, 2xx is enough."""

    body: bytes
    headers: Mapping[str, str]
    read: frozenset[int] = frozenset()


def _refuse(message: str, *, hint: str | None = None) -> NoReturn:
    raise TransportError(message, retryable=False, hint=hint)


class _TooMuchError(Exception):
    """The peer sent more than anybody asked for."""


class _CappedReader(io.RawIOBase):
    """Bound what is read from a connection in total, whatever the answer's framing claims.

    `http.client` reads a chunk whose size says -1 until the connection ends; endless headers and trailers are the
    same attack.
    """

    def __init__(self, raw: io.RawIOBase, limit: int) -> None:
        self._raw = raw
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left <= 0:
            raise _TooMuchError
        count = self._raw.readinto(memoryview(buffer)[: self._left])
        self._left -= count or 0
        return int(count or 0)


class _CappedSocket(DeadlineSocket):
    def __init__(self, sock: socket.socket, deadline: Deadline, limit: int) -> None:
        super().__init__(sock, deadline)
        self._limit = limit

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        return io.BufferedReader(_CappedReader(super().makefile().detach(), self._limit))


class GuardedFetcher:
    """Fetch small documents from issuers, from nowhere else than the operator allowed.

    Safe to share between threads: it keeps no state between calls.

    Args:
        resolver: Gives the addresses of a host name; its answers are vetted, never believed.
        connector: Opens a connection to the first of some vetted addresses that answers.
        ssl_context: Trust store for https; the system's by default. It must verify certificates and host names.
        user_agent: What the issuer's operators see in their logs.
        monotonic: Clock of the deadlines, in seconds.
    """

    def __init__(
        self,
        *,
        resolver: Resolver = resolve,
        connector: Connector = connect,
        ssl_context: ssl.SSLContext | None = None,
        user_agent: str = "keyless",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._connector = connector
        self._user_agent = user_agent
        self._monotonic = monotonic
        self._context = ssl.create_default_context() if ssl_context is None else ssl_context
        self._check_context()

    def _check_context(self) -> None:
        if self._context.verify_mode is not ssl.CERT_REQUIRED or not self._context.check_hostname:
            raise ValueError("a TLS context that does not verify certificates and host names is not accepted (S04)")

    def fetch(
        self,
        url: str,
        *,
        network: AllowedNetwork,
        deadline: Deadline | None = None,
        operator_port: int | None = None,
        etag: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Fetched:
        """Fetch one document with GET.

        Args:
            url: Where it is. `http` only for a `loopback` network.
            network: Which addresses the operator allowed for this issuer.
            deadline: Budget of the caller; the call takes at most five seconds of it.
            operator_port: A port besides 443 that the operator's own record names (S04); never one that an answer
                of the issuer named.
            etag: Entity tag of the copy at hand; the answer may then have no body (RFC 9110 section 13.1.2).
            max_bytes: Limit of the body in bytes; a longer one is refused, not cut.

        Raises:
            TransportError: `retryable` for an outage (name, network, time, HTTP 5xx and 429), not `retryable` where a
                rule says no. The text is for operators and holds nothing the server sent (S06).
        """
        if etag is not None and not _ETAG.fullmatch(etag):
            etag = None
        return self._call(url, network, deadline, operator_port, max_bytes, etag=etag)

    def post(self, url: str, body: bytes, *, network: AllowedNetwork, port: int, headers: Mapping[str, str]) -> None:
        """Send JSON to a place that the operator named, under the same rules; what it answers is not read.

        Args:
            url: As in `fetch`.
            body: The JSON.
            network: Which addresses the operator allowed.
            port: The port of the operator's own record.
            headers: Further ones, of ours.

        Raises:
            TransportError: As `fetch`; also for any answer that is not 2xx.
        """
        self._call(url, network, None, port, MAX_BYTES, sent=_Sent(body, headers))

    def submit(
        self,
        url: str,
        form: bytes,
        *,
        network: AllowedNetwork,
        port: int,
        headers: Mapping[str, str],
    ) -> Fetched:
        """Send a form to a place that the operator named, under the same rules, and read what it answers.

        Args:
            url: As in `fetch`.
            form: The fields, URL-encoded.
            network: Which addresses the operator allowed.
            port: The port of the operator's own record.
            headers: Further ones, of ours.

        Raises:
            TransportError: As `fetch`; also for any answer but 200, 400 and 401, which OAuth defines (RFC 6749 section
                5.2).
        """
        typed = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self._call(url, network, None, port, MAX_BYTES, sent=_Sent(form, typed, _FORM_STATUSES))

    def _call(
        self,
        url: str,
        network: AllowedNetwork,
        deadline: Deadline | None,
        operator_port: int | None,
        max_bytes: int,
        *,
        etag: str | None = None,
        sent: _Sent | None = None,
    ) -> Fetched:
        try:
            parsed = parse_url(url)
        except ValueError as error:
            _refuse(str(error))
        self._check_scheme_and_port(parsed, network, operator_port)
        self._check_context()  # a context is mutable, and somebody may have
        outer = TOTAL_SECONDS if deadline is None else min(TOTAL_SECONDS, deadline.remaining())
        total = Deadline(outer, monotonic=self._monotonic)
        where = f"{parsed.host}:{parsed.port}"
        sock: socket.socket | None = None
        try:
            sock = self._connect(parsed, network, total)
            return self._exchange(sock, parsed, total, etag, max_bytes, sent)
        except (DeadlineExceededError, TimeoutError):
            raise TransportError(f"{where} gave no complete answer in time", retryable=True) from None
        except ssl.SSLCertVerificationError:
            _refuse(
                f"the certificate of {where} does not verify",
                hint="Give the service the authority that signed it (SSL_CERT_FILE); the check has no switch.",
            )
        except ssl.SSLError as error:
            raise TransportError(f"no TLS connection with {where}: {error.reason}", retryable=True) from None
        except OSError as error:
            why = error.strerror or "network error"
            raise TransportError(f"{where} cannot be reached: {why}", retryable=True) from error
        except _TooMuchError:
            _refuse(f"the answer of {where} is longer than {max_bytes} bytes")
        except (http.client.HTTPException, ValueError):
            # The cause repeats what the server sent, so it is left out (S06).
            raise TransportError(f"{where} did not answer in HTTP", retryable=True) from None
        finally:
            if sock is not None:
                sock.close()

    @staticmethod
    def _check_scheme_and_port(url: Url, network: AllowedNetwork, operator_port: int | None) -> None:
        if url.scheme != "https" and network.kind != "loopback":
            _refuse("plain http is for issuers on the loopback network only")
        if network.kind not in {"loopback", "private"} and url.port not in {443, operator_port}:
            _refuse(f"port {url.port} is not 443 and the issuer's record does not name it")

    def _connect(self, url: Url, network: AllowedNetwork, total: Deadline) -> socket.socket:
        if network.kind == "proxy":
            sock = self._tunnel(url, network, total)
        else:
            vetted = self._vet(url, self._resolver(url.host, url.port, total.within(CONNECT_SECONDS)), network)
            sock = self._connector(vetted, total.within(CONNECT_SECONDS))
        if url.scheme == "http":
            return sock
        try:
            sock.settimeout(total.check())  # bounds the whole handshake, not each of its reads
            return self._context.wrap_socket(sock, server_hostname=url.host)
        except BaseException:
            sock.close()
            raise

    def _tunnel(self, url: Url, network: AllowedNetwork, total: Deadline) -> socket.socket:
        if url.host not in network.hosts:
            _refuse(
                f"{url.host} may not be asked for through the outbound proxy",
                hint="The issuer's record names the hosts (--outbound-host).",
            )
        proxy = parse_url(network.proxy)
        soon = total.within(CONNECT_SECONDS)
        sock = self._connector(self._resolver(proxy.host, proxy.port, soon), soon)
        try:
            status = ask_for_tunnel(sock, url.host, url.port, deadline=total, user_agent=self._user_agent)
            if status != 200:
                raise TransportError(
                    f"the outbound proxy answered HTTP {status} for {url.host}:{url.port}", retryable=status >= 500
                )
        except BaseException:
            sock.close()
            raise
        return sock

    @staticmethod
    def _vet(url: Url, answers: Sequence[Address], network: AllowedNetwork) -> list[Address]:
        if not answers:
            raise TransportError(f"{url.host} has no address", retryable=True)
        if len(answers) > _MAX_ADDRESSES:
            _refuse(f"{url.host} has more than {_MAX_ADDRESSES} addresses")
        vetted: list[Address] = []
        for family, address in answers:
            numeric = str(address[0])
            # One bad answer condemns all: an attacker who owns the name may mix in good ones.
            if (reason := why_refused(numeric, network)) is not None:
                _refuse(
                    f"{url.host} leads to an address that is {reason}; the issuer's network is {str(network.kind)!r}",
                    hint="If the issuer is meant to live there, say so in its record (network).",
                )
            if family == socket.AF_INET:
                vetted.append((family, (numeric, url.port)))
            elif family == socket.AF_INET6:
                vetted.append((family, (numeric, url.port, 0, 0)))
            else:
                _refuse(f"{url.host} has an address of an unknown family")
        return vetted

    def _exchange(
        self,
        sock: socket.socket,
        url: Url,
        total: Deadline,
        etag: str | None,
        max_bytes: int,
        sent: _Sent | None,
    ) -> Fetched:
        # The connection object is only a writer and parser of HTTP: it is given its socket and never opens one.
        connection = http.client.HTTPConnection(url.host, url.port)
        connection.auto_open = 0
        connection.sock = _CappedSocket(sock, total, 2 * max_bytes + _FRAMING_BYTES)
        host = f"[{url.host}]" if ":" in url.host else url.host
        default_port = 443 if url.scheme == "https" else 80
        method = "GET" if sent is None else "POST"
        connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host if url.port == default_port else f"{host}:{url.port}")
        connection.putheader("User-Agent", self._user_agent)
        connection.putheader("Accept", "application/json")
        connection.putheader("Accept-Encoding", "identity")  # no decompression, so no bomb (T28)
        # We have a cache of our own; a stale copy on the way would hide a key that was just published.
        connection.putheader("Cache-Control", "no-cache")
        if etag is not None:
            connection.putheader("If-None-Match", etag)
        connection.putheader("Connection", "close")
        if sent is None:
            connection.endheaders()
        else:
            for name, value in {"Content-Type": "application/json", **sent.headers}.items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(sent.body)))
            connection.endheaders(sent.body)
        response = connection.getresponse()
        if sent is not None and not sent.read and 200 <= response.status < 300:
            return _fetched(response, None)
        if sent is None or response.status not in sent.read:
            self._check_status(response, url, conditional=etag is not None)
        body = None if response.status == 304 else self._read(response, url, max_bytes)
        return _fetched(response, body)

    @staticmethod
    def _check_status(response: http.client.HTTPResponse, url: Url, *, conditional: bool) -> None:
        status = response.status
        if status == 200 or (status == 304 and conditional):
            return
        where = f"{url.host}:{url.port}"
        if 300 <= status < 400:
            _refuse(f"{where} redirects (HTTP {status}), which is not followed (S05)")
        retryable = status >= 500 or status in {408, 425, 429}
        raise TransportError(f"{where} answered HTTP {status}", retryable=retryable)

    @staticmethod
    def _read(response: http.client.HTTPResponse, url: Url, max_bytes: int) -> bytes:
        where = f"{url.host}:{url.port}"
        if response.getheader("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
            _refuse(f"{where} compressed its answer though asked not to")
        body = response.read(max_bytes + 1)
        if len(body) > max_bytes:
            _refuse(f"the answer of {where} is longer than {max_bytes} bytes")
        if response.length:  # what Content-Length promised and the connection did not bring
            raise TransportError(f"the answer of {where} ended early", retryable=True)
        return body


def _fetched(response: http.client.HTTPResponse, body: bytes | None) -> Fetched:
    etag = response.getheader("ETag")
    age_text = response.getheader("Age", "").strip()
    age = int(age_text) if re.fullmatch("[0-9]{1,9}", age_text) else 0
    date = _unix_time(response.getheader("Date"))
    return Fetched(
        body=body,
        etag=etag if etag is not None and _ETAG.fullmatch(etag) else None,
        max_age_seconds=_max_age_seconds(response.getheader("Cache-Control"), age),
        # A copy from a cache on the way carries the time at which it was made (RFC 9111 section 5.1).
        date=None if date is None else date + age,
        status=response.status,
    )


def _max_age_seconds(cache_control: str | None, age_seconds: int) -> int | None:
    if cache_control is None:
        return None
    if _NO_STORE.search(cache_control):
        return 0
    found = _MAX_AGE.search(cache_control)
    return None if found is None else max(0, int(found[1]) - age_seconds)


def _unix_time(http_date: str | None) -> float | None:
    if http_date is None or len(http_date) > 64:
        return None
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
