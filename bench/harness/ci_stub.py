"""A CI platform's mint endpoint and a token service's exchange, both answering at once.

A process of its own, so that a client under test shares nothing with it. Takes requests over plain HTTP and over TLS
on two ports each, so that mint and exchange are two hosts as in a real job. Prints the ports as JSON when ready.

    python ci_stub.py CHAIN.pem REQUEST_TOKEN
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import time
import uuid
from collections import Counter
from typing import Final
from urllib.parse import parse_qs, urlsplit

CLAIM_FILLER: Final = "x" * 640  # brings the id token to the length of a real one, some 2 kB
ACCESS_TOKEN: Final = "hf_jwt_" + base64.urlsafe_b64encode(bytes(range(256)) * 2).decode().rstrip("=")


class Stub:
    """Answer requests and count them."""

    def __init__(self, request_token: str) -> None:
        self._authorization = f"bearer {request_token}".lower()
        self.counts: Counter[str] = Counter()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, object]]:
        url = urlsplit(target)
        if url.path == "/counts":
            return 200, dict(self.counts)
        if method == "GET" and url.path == "/job/id-token":
            audience = parse_qs(url.query).get("audience", [""])[0]
            if headers.get("authorization", "").lower() != self._authorization or not audience:
                self.counts["refused"] += 1
                return 401, {"message": "the request token is wrong, or there is no audience"}
            self.counts["mints"] += 1
            token = _id_token(audience)
            return 200, {"count": len(token), "value": token}
        if method == "POST" and url.path == "/oauth/token" and b"subject_token" in body and b"acme" in body:
            self.counts["exchanges"] += 1
            return 200, {
                "access_token": ACCESS_TOKEN,
                "token_type": "bearer",
                "expires_in": 3600,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }
        self.counts["other"] += 1
        return 404, {"error": "not_found"}


def _id_token(audience: str) -> str:
    """Return the shape of an id token: a client may read it, and nobody here checks the signature."""
    now = int(time.time())
    claims = {
        "iss": "https://ci.example",
        "aud": audience,
        "sub": "repo:acme/train:ref:refs/heads/main",
        "jti": str(uuid.uuid4()),
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "filler": CLAIM_FILLER,
    }
    parts = (
        json.dumps({"alg": "RS256", "kid": "stub", "typ": "JWT"}).encode(),
        json.dumps(claims).encode(),
        bytes(256),
    )
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


class Connection(asyncio.Protocol):
    """Speak as much HTTP/1.1 as the clients need: bodies with a length, connections that stay open."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._transport is not None and b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            request, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            body, self._received = rest[:length], rest[length:]
            method, target, _version = request.split(" ")
            status, answer = self._stub.answer(method, target, headers, body)
            self._send(self._transport, status, answer, close=headers.get("connection", "").lower() == "close")

    def _send(self, transport: asyncio.Transport, status: int, answer: dict[str, object], *, close: bool) -> None:
        content = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        transport.write(head.encode() + (b"Connection: close\r\n" if close else b"") + b"\r\n" + content)
        if close:
            transport.close()


async def serve(chain: str, request_token: str) -> None:
    stub = Stub(request_token)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    context.set_alpn_protocols(["http/1.1"])
    loop = asyncio.get_running_loop()
    ports = {}
    servers = []
    for name, tls in (("http_ci", None), ("http_service", None), ("tls_ci", context), ("tls_service", context)):
        server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", 0, ssl=tls)
        servers.append(server)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    try:
        asyncio.run(serve(sys.argv[1], sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
