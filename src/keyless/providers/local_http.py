"""HTTP to a server of the machine itself: a metadata service, or the API of the cluster around a pod.

Such servers speak plain http on link-local addresses, or https with the cluster's own authority, and must never be
asked through a proxy: a proxy would answer with *its* machine's identity. In return the address that the name resolves
to has to be private; a resolver that sends the name elsewhere gets no request.
"""

from __future__ import annotations

import http.client
import ssl
from ipaddress import ip_address

from keyless.errors import TransportError
from keyless.http.deadline import Deadline, DeadlineSocket, connect, resolve
from keyless.http.transport import MAX_ANSWER_BYTES, USER_AGENT, AnswerError, Response
from keyless.http.url import parse_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence


def is_local_address(address: str) -> bool:
    """Return whether an address is of this machine, its link or a private network."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return parsed.is_loopback or parsed.is_link_local or (parsed.is_private and not parsed.is_unspecified)


def sender(ca_file: str | None = None) -> Callable[..., Response]:
    """Return a function with the arguments of `transport.send` that talks to a local server.

    Args:
        ca_file: PEM file of the only authority that may vouch for an https server; the system's where it is `None`.
    """

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
        del environ, secrets  # no proxy, no debug line: nothing here is for anyone's eyes
        parsed = parse_url(url, name=f"the URL of {leg}")
        where = f"{leg} at {parsed.authority}"
        sock: socket.socket | None = None
        try:
            addresses = [found for found in resolve(parsed.host, parsed.port, deadline) if _is_local(found)]
            if not addresses:
                raise TransportError(f"{where} is not on a private address; nothing was sent", retryable=False)
            sock = connect(addresses, deadline)
            if parsed.scheme == "https":
                sock.settimeout(deadline.check())
                sock = ssl.create_default_context(cafile=ca_file).wrap_socket(sock, server_hostname=parsed.host)
            return _converse(sock, method, parsed.authority, parsed.target, headers or {}, body, deadline, max_bytes)
        except _TooLargeError:
            raise AnswerError(f"{where} answered with more than {max_bytes} bytes") from None
        except TimeoutError:
            raise TransportError(
                f"{where} gave no complete answer within {deadline.seconds:.3g} s", retryable=True
            ) from None
        except ssl.SSLCertVerificationError:
            raise TransportError(f"{where} shows a certificate that is not trusted", retryable=False) from None
        except OSError as error:
            raise TransportError(
                f"{where} could not be reached ({error.strerror or type(error).__name__})", retryable=True
            ) from None
        except (http.client.HTTPException, ValueError) as error:
            raise AnswerError(f"{where} did not answer in HTTP ({type(error).__name__})") from None
        finally:
            if sock is not None:
                sock.close()

    return send


class _TooLargeError(Exception):
    """The body is larger than the caller allows."""


def _is_local(address: tuple[int, tuple[object, ...]]) -> bool:
    return is_local_address(str(address[1][0]))


def _converse(
    sock: socket.socket,
    method: str,
    authority: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: Deadline,
    max_bytes: int,
) -> Response:
    connection = http.client.HTTPConnection("local")
    connection.sock = DeadlineSocket(sock, deadline)
    connection.putrequest(method, target, skip_host=True)
    connection.putheader("Host", authority)
    for name, value in {"User-Agent": USER_AGENT, **headers, "Connection": "close"}.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    with connection.getresponse() as answer:
        content = answer.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise _TooLargeError
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)
