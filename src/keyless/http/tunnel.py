"""Ask an http proxy for a tunnel to a host (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import http.client

from keyless.http.deadline import DeadlineSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from keyless.http.deadline import Deadline


def ask_for_tunnel(
    sock: socket.socket, host: str, port: int, *, deadline: Deadline, user_agent: str, authorization: str | None = None
) -> int:
    """Ask the proxy at the other end of a connection to connect us through; return the status it answers.

    After 200 the connection is the host's; what the proxy knows of it is the name and the port. An address is written
    without brackets in `host`.
    """
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: {user_agent}"]
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    wrapped = DeadlineSocket(sock, deadline)
    wrapped.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    answer = http.client.HTTPResponse(wrapped, method="CONNECT")  # type: ignore[arg-type]  # only makefile is used
    answer.begin()
    status = answer.status
    answer.close()
    return status
