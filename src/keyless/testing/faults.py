"""The ways in which a peer can fail, as they look on the wire.

Shared by the fake issuer's documents and the fake CI's mint endpoint. Each fault is what a real proxy, outage or
attacker produces, not an exception thrown inside the code under test.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Final

OVERSIZE_BYTES: Final = 10_000_000  # far above any cap we keep, and above what a proxy buffers
DRIP_SECONDS: Final = 0.05  # between two bytes: a peer that is always "about to answer"


class Fault(StrEnum):
    """Name a way to fail."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    REDIRECT = "redirect"
    HTML = "html"
    EMPTY = "empty"
    MALFORMED_JSON = "malformed_json"
    JSON_ARRAY = "json_array"
    OVERSIZE = "oversize"
    SLOW = "slow"
    DRIP = "drip"
    RESET = "reset"


_STATUS: Final = {
    Fault.BAD_REQUEST: 400,
    Fault.UNAUTHORIZED: 401,
    Fault.FORBIDDEN: 403,
    Fault.NOT_FOUND: 404,
    Fault.RATE_LIMITED: 429,
    Fault.SERVER_ERROR: 500,
    Fault.UNAVAILABLE: 503,
}
_BODY: Final = {
    Fault.HTML: ("text/html; charset=utf-8", b"<!doctype html><title>Sign in</title><p>Please sign in.</p>"),
    Fault.EMPTY: ("application/json", b""),
    Fault.MALFORMED_JSON: ("application/json", b'{"keys": ['),
    Fault.JSON_ARRAY: ("application/json", b'["not", "an", "object"]'),
}


def send(handler: BaseHTTPRequestHandler, status: int, content_type: str, body: bytes, **headers: str) -> None:
    """Send one whole answer and close the connection; header names are written with `_` for `-`."""
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def fail(handler: BaseHTTPRequestHandler, fault: Fault, closing: Event) -> None:
    """Answer in the way the fault says; the two that take their time end when `closing` is set."""
    special: dict[Fault, Callable[[BaseHTTPRequestHandler, Event], None]] = {
        Fault.REDIRECT: _redirect,
        Fault.OVERSIZE: _oversize,
        Fault.SLOW: _slow,
        Fault.DRIP: _drip,
        Fault.RESET: _reset,
    }
    if fault in special:
        special[fault](handler, closing)
    elif fault in _BODY:
        send(handler, 200, *_BODY[fault])
    else:
        headers = {"Retry_After": "7"} if fault in (Fault.RATE_LIMITED, Fault.UNAVAILABLE) else {}
        send(handler, _STATUS[fault], "application/json", b'{"message": "asked to fail"}', **headers)


def _redirect(handler: BaseHTTPRequestHandler, closing: Event) -> None:
    del closing
    host, port = handler.connection.getsockname()
    send(handler, 302, "text/plain", b"", Location=f"http://{host}:{port}/redirected")


def _oversize(handler: BaseHTTPRequestHandler, closing: Event) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Connection", "close")  # no length: a reader must count for itself
    handler.end_headers()
    with contextlib.suppress(OSError):  # the reader hangs up, as it should
        for _ in range(OVERSIZE_BYTES // 100_000):
            if closing.is_set():
                return
            handler.wfile.write(b" " * 100_000)


def _slow(handler: BaseHTTPRequestHandler, closing: Event) -> None:
    closing.wait()
    handler.close_connection = True


def _drip(handler: BaseHTTPRequestHandler, closing: Event) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with contextlib.suppress(OSError):
        while not closing.wait(DRIP_SECONDS):
            handler.wfile.write(b" ")


def _reset(handler: BaseHTTPRequestHandler, closing: Event) -> None:
    del closing
    handler.close_connection = True
    # Linger of zero seconds: closing sends RST instead of FIN. The descriptor is closed directly because the two
    # file objects of http.server would keep the socket open.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())
