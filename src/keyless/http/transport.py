"""Send one HTTP request and return its answer, bounded in time and size.

No redirect is followed (the target would get the token), nothing is retried, and plain http goes to this machine only
(D27). Every failure is a `TransportError` that names the host and the leg of the token's way it happened on.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from urllib.parse import urlsplit

from keyless import __version__
from keyless.errors import OIDCConfigurationError, TransportError
from keyless.http import tls
from keyless.http.curl import is_debug, log_debug
from keyless.http.deadline import Deadline, DeadlineSocket, connect, resolve
from keyless.http.fork import import_lock
from keyless.http.proxy import choose_proxy
from keyless.http.tunnel import ask_for_tunnel
from keyless.http.url import is_loopback, parse_url, require_secure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from keyless.http.proxy import Proxy
    from keyless.http.url import Url

MAX_ANSWER_BYTES: Final = 1_048_576  # token answers have 1-5 kB; nothing honest is near this
USER_AGENT: Final = f"keyless/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"

_warned_insecure: set[str] = set()


class AnswerError(TransportError):
    """An answer came, but not one that HTTP or this client allows: redirected, too large, or not HTTP.

    Asking again gives the same, so `retryable` is False.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, retryable=False, hint=hint)


class NotSentError(TransportError):
    """No byte of the request left this machine: the name, the connection, the proxy or the TLS handshake failed.

    Whatever the request carries was certainly not used up.
    """


class Response:
    """An answer: status code, headers by lower-case name, and the whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"Response(status={self.status}, body=<{len(self.body)} bytes>)"


def send(
    method: str,
    url: str,
    *,
    leg: str,
    deadline: Deadline,
    environ: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    secrets: Sequence[str] = (),
    max_bytes: int = MAX_ANSWER_BYTES,
) -> Response:
    """Send one request and read its answer.

    Args:
        method: `GET` or `POST`.
        url: Where to; https, or http to this machine or a host of `KEYLESS_INSECURE_HTTP_HOSTS`.
        leg: Which part of the token's way this is, for messages, for example `the token service`.
        deadline: Bounds everything: resolving, connecting, TLS, each read.
        environ: Where the proxy and debug variables are read.
        headers: Sent as they are; credentials are allowed.
        body: Sent with its length.
        secrets: Values that must not be in a log line.
        max_bytes: Limit of the answer's body.

    Raises:
        TransportError: No usable answer; `retryable` says whether the same request may succeed later.
        OIDCConfigurationError: The URL, a header or a variable cannot be used.
    """
    parsed = parse_url(url, name=f"the URL of {leg}")
    if require_secure(parsed, environ=environ) and parsed.host not in _warned_insecure:
        _warned_insecure.add(parsed.host)
        _warn_insecure(parsed)
    proxy = choose_proxy(parsed, environ=environ)
    sent_headers = {"Accept": "application/json", "User-Agent": USER_AGENT, **(headers or {})}
    _check_headers(sent_headers, leg)
    if is_debug(environ):
        with import_lock:
            from keyless.http.curl import curl_line

        log_debug(curl_line(method, url, sent_headers, body, secrets))
    where = f"{leg} at {parsed.authority}"
    sock = _open(parsed, proxy, deadline, where)
    try:
        response = _converse(sock, method, parsed, proxy, sent_headers, body, deadline, max_bytes, where)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _translate(error, where, proxy, deadline) from None  # the cause may quote what was sent
    finally:
        sock.close()
    if is_debug(environ):
        log_debug(f"{where}: HTTP {response.status}, {len(response.body)} bytes")
    if 300 <= response.status < 400:
        raise AnswerError(f"{where} redirected to {_redirect_target(response)}; redirects are not followed")
    return response


def _warn_insecure(url: Url) -> None:
    with import_lock:
        import logging

    logging.getLogger("keyless").warning(
        "sending tokens over plain http to %s, as KEYLESS_INSECURE_HTTP_HOSTS allows", url.authority
    )


def _check_headers(headers: Mapping[str, str], leg: str) -> None:
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise OIDCConfigurationError(
                f"the {name} header for {leg} would hold characters that HTTP does not allow",
                hint="A token or variable was probably copied with a line break or is not what it should be.",
            )


def _converse(
    sock: socket.socket,
    method: str,
    url: Url,
    proxy: Proxy | None,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: Deadline,
    max_bytes: int,
    where: str,
) -> Response:
    connection = http.client.HTTPConnection(url.host, url.port)
    connection.sock = DeadlineSocket(sock, deadline)
    target = url.target
    extra = dict(headers)
    if proxy is not None and url.scheme == "http":
        target = f"http://{url.authority}{url.target}"
        if proxy.authorization:
            extra["Proxy-Authorization"] = proxy.authorization
    connection.putrequest(method, target, skip_host=True)  # sends "Accept-Encoding: identity"
    connection.putheader("Host", url.authority)
    for name, value in extra.items():
        connection.putheader(name, value)
    connection.putheader("Connection", "close")
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    with connection.getresponse() as answer:
        content = _read(answer, max_bytes, where)
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def _open(url: Url, proxy: Proxy | None, deadline: Deadline, where: str) -> socket.socket:
    """Return a connection that the request can be sent on.

    Raises:
        NotSentError: There is none.
        AnswerError: What answered is not the proxy that it should be.
    """
    try:
        return _connect(url, proxy, deadline, where)
    except TransportError as error:
        raise NotSentError(error.message, retryable=error.retryable, hint=error.hint) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = _translate(error, where, proxy, deadline)
        if isinstance(reason, AnswerError):
            raise reason from None
        raise NotSentError(reason.message, retryable=reason.retryable, hint=reason.hint) from None


def _connect(url: Url, proxy: Proxy | None, deadline: Deadline, where: str) -> socket.socket:
    host, port = (url.host, url.port) if proxy is None else (proxy.host, proxy.port)
    addresses = resolve(host, port, deadline)
    if url.is_loopback:
        # The name "localhost" is a promise, not a proof: a resolver may say otherwise.
        addresses = [(family, address) for family, address in addresses if is_loopback(str(address[0]))]
    if url.scheme == "http":
        return connect(addresses, deadline)

    def open_socket() -> socket.socket:
        sock = connect(addresses, deadline)
        try:
            if proxy is not None:
                _tunnel(sock, url, proxy, deadline, where)
        except BaseException:
            sock.close()
            raise
        return sock

    return tls.connect_trusted(open_socket, url.host, deadline)


def _tunnel(sock: socket.socket, url: Url, proxy: Proxy, deadline: Deadline, where: str) -> None:
    """Ask an http proxy to connect us through, or say what it answered instead."""
    status = ask_for_tunnel(
        sock, url.host, url.port, deadline=deadline, user_agent=USER_AGENT, authorization=proxy.authorization
    )
    if status == 200:
        return
    hint = "Put the proxy's user name and password into the proxy variable's URL." if status == 407 else None
    if 500 <= status < 600:
        raise TransportError(
            f"{where} could not be reached: the proxy {proxy.host}:{proxy.port} answered HTTP {status}", retryable=True
        )
    raise TransportError(
        f"{where} could not be reached: the proxy {proxy.host}:{proxy.port} refused with HTTP {status}",
        retryable=False,
        hint=hint or f"Let the proxy connect to {url.authority}, or exempt that host with NO_PROXY.",
    )


def _read(answer: http.client.HTTPResponse, max_bytes: int, where: str) -> bytes:
    content = answer.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise AnswerError(f"{where} answered with more than {max_bytes} bytes; that is not an answer to this request")
    if answer.length:  # with a given amount http.client does not complain about a body that ends early
        raise http.client.IncompleteRead(b"", answer.length)
    return content


def _redirect_target(response: Response) -> str:
    with import_lock:
        from keyless.http.redact import quote_text

    location = response.headers.get("location", "")
    try:
        parts = urlsplit(location)
        target = (
            f"{parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else "another path of that host"
        )
    except ValueError:
        target = "an unreadable place"
    return f"{quote_text(target, max_chars=200)} (HTTP {response.status})"


def _translate(
    error: OSError | http.client.HTTPException | ValueError, where: str, proxy: Proxy | None, deadline: Deadline
) -> TransportError:
    """Turn what `http.client`, `ssl` and `socket` raise into one error in our words."""
    via = f" through the proxy {proxy.host}:{proxy.port}" if proxy is not None else ""
    match error:
        case TimeoutError():  # DeadlineExceededError, and what OpenSSL's handshake raises
            return TransportError(f"{where}{via} gave no complete answer within {deadline.seconds:g} s", retryable=True)
        case ssl.SSLCertVerificationError() | ssl.SSLError():
            if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
                return TransportError(f"{where}{via} closed the connection during TLS", retryable=True)
            what, hint = tls.describe(error)
            return TransportError(f"{where}{via} cannot be trusted: {what}", retryable=False, hint=hint)
        case socket.gaierror():
            return TransportError(
                f"{where}{via} has a host name that does not resolve ({error.strerror})",
                retryable=error.errno != socket.EAI_NONAME,  # "there is no such name" is an answer, not a failure
                hint="Check the name, and that the job's network can resolve it.",
            )
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return TransportError(f"{where}{via} closed the connection before it answered", retryable=True)
        case http.client.IncompleteRead():
            return TransportError(f"{where}{via} closed the connection in the middle of its answer", retryable=True)
        case ConnectionRefusedError():
            return TransportError(f"{where}{via} refused the connection", retryable=True)
        case http.client.HTTPException() | ValueError():
            return AnswerError(
                f"{where}{via} did not answer in HTTP ({type(error).__name__})",
                hint="Is the port right? Does it want https?",
            )
        case _:
            return TransportError(
                f"{where}{via} could not be reached ({error.strerror or type(error).__name__})", retryable=True
            )
