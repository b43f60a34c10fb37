"""What checking one of our access tokens costs a resource server, beside the bare signature and other libraries.

    python bench/verifier.py [--rounds 21] [--quick] [--json]

See bench/README.md for the method.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venvs" / "bench" / "bin" / "python"

try:
    import joserfc  # noqa: F401  # only to see whether this is the environment of the peers
    import jwt  # noqa: F401  # as above
except ImportError:
    if not PEERS.exists() or sys.executable == str(PEERS):
        sys.exit("MISSING: PyJWT and joserfc: run `make env-bench`")
    os.execve(PEERS, [str(PEERS), *sys.argv], {**os.environ, "PYTHONPATH": str(ROOT / "src")})

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from harness.figures import ratio, spread, table
from harness.machine import choose_cores, on_core
from peers.verifiers.checks import bare_check, barest_check, joserfc_check, pyjwt_check

from keyless.errors import TokenError
from keyless.jose.compact import parse_compact
from keyless.jose.signing import SigningKey
from keyless.resource import parse_resource
from keyless.secret import Secret
from keyless.verifier import Feed, Verifier
from keyless.verifier.access_token import access_token_claims

ISSUER = AUDIENCE = "https://hub.example.org"
TOKENS = 1_000  # fewer than a verifier remembers
REPEATS = 5
WITHDRAWN = 10**7  # the number of a token that the feed names
BAREST, BARE, FIRST, AGAIN, PYJWT, JOSERFC = (
    "the call into cryptography",
    "bare ES256 primitive",
    "keyless, first check",
    "keyless, repeated",
    "PyJWT",
    "joserfc",
)
RATIOS = (
    ("V1", FIRST, BARE),
    ("", FIRST, BAREST),
    ("V2", AGAIN, PYJWT),
    ("", FIRST, PYJWT),
    ("", FIRST, JOSERFC),
    ("", AGAIN, JOSERFC),
)


def jti(number: int) -> str:
    """Return a token id of the usual length."""
    return f"0da1b2c3d4e5f6g7h8{number:08}"


def tokens(key: SigningKey, *, count: int, start: int = 0) -> list[str]:
    """Return tokens as the service signs them for GitHub's jobs, valid now."""
    now = int(time.time())
    made = []
    for number in range(start, start + count):
        claims = access_token_claims(
            issuer=ISSUER, audience=AUDIENCE, publisher_id="pub_tajvmw7h6u5xs3n4zvwt", jti=jti(number), issued_at=now,
            expires_at=now + 3600, resource=parse_resource(f"acme/model-{number % 50}"),
            operations=["read", "write", "create"], ci_issuer="https://token.actions.githubusercontent.com",
            ci_subject="repo:acme/widgets:ref:refs/heads/main", prefix="kl_",
        )  # fmt: skip
        made.append("kl_" + key.sign(claims, typ="at+jwt"))
    return made


@contextmanager
def feed_server(withdrawn: Sequence[str]) -> Iterator[str]:
    """Serve a revocation feed on loopback, which our verifier follows all the while."""
    entries = [{"kind": "token", "id": jti, "live": False} for jti in withdrawn]
    pages = {"": {"cursor": "1.a", "snapshot": True, "more": False, "entries": entries}}
    later = {"cursor": "1.a", "snapshot": False, "more": False, "entries": []}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(pages.get(self.path.partition("cursor=")[2], later)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/oauth/feed"
    finally:
        server.shutdown()
        server.server_close()


def cost(check: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return the CPU time of one check in microseconds."""
    began = time.thread_time_ns()
    for item in items:
        check(item)
    return (time.thread_time_ns() - began) / len(items) / 1000


def refuses(check: Callable[[str], object], token: str, errors: type[Exception] = Exception) -> bool:
    """Tell whether a check refuses a token."""
    try:
        check(token)
    except errors:
        return True
    return False


def measure(rounds: int) -> dict[str, list[float]]:
    """Measure everything in turn, round by round."""
    key = SigningKey.generate()
    public = key.public_key().material
    good, gone = tokens(key, count=TOKENS), tokens(key, count=1, start=WITHDRAWN)[0]
    parsed = [parse_compact(token.removeprefix("kl_")) for token in good]
    raw = [(jws.signing_input, jws.signature) for jws in parsed]
    der = [
        (text, encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")))
        for text, signature in raw
    ]
    jwks = json.dumps({"keys": [key.public_jwk()]}).encode()
    others = {
        PYJWT: pyjwt_check(public, ISSUER, AUDIENCE),
        JOSERFC: joserfc_check(key.public_jwk(), ISSUER, AUDIENCE),
    }
    found: dict[str, list[float]] = {}
    with feed_server([jti(WITHDRAWN)]) as url:

        def new_verifier() -> Verifier:
            verifier = Verifier(ISSUER, AUDIENCE, feed=Feed(url, "hub", Secret("x")), fetch=lambda _url: jwks)
            verifier.verify(good[-1])  # the key set and the news are there
            verifier._proven.forget(good[-1])
            return verifier

        ours = new_verifier()
        forged = good[0][:-8] + ("A" * 8 if not good[0].endswith("A" * 8) else "B" * 8)
        if not all(refuses(check, forged) for check in (ours.verify, *others.values())):
            sys.exit("no result: a forged token was accepted")
        if not refuses(ours.verify, gone, TokenError):
            sys.exit("no result: a revoked token was accepted")
        ours.close()
        for round_number in range(rounds + 1):
            # Every request brings a text of its own, so a repeated token is never the same object.
            again = [f"{token}x"[:-1] for _ in range(REPEATS) for token in good]
            verifier = new_verifier()
            figures = {
                BAREST: cost(barest_check(public), der),
                BARE: cost(bare_check(public), raw),
                FIRST: cost(verifier.verify, good),
                AGAIN: cost(verifier.verify, again),
                **{name: cost(check, good) for name, check in others.items()},
            }
            verifier.close()
            if round_number:  # the first one warms up
                for name, value in figures.items():
                    found.setdefault(name, []).append(value)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--quick", action="store_true", help="three rounds: to see that it works, never to quote")
    parser.add_argument("--json", action="store_true")
    options, _others = parser.parse_known_args()
    with on_core(choose_cores().measured):
        found = measure(3 if options.quick else max(options.rounds, 5))
    ratios = [(code, f"{ours} / {theirs}", ratio(found[ours], found[theirs])) for code, ours, theirs in RATIOS]
    if options.json:
        result = {name: spread(values).as_json() for name, values in found.items()}
        print(json.dumps({"microseconds": result, "ratios": {name: value.as_json() for _, name, value in ratios}}))
        return 0
    print(f"CPU time of one check, {len(found[BARE])} rounds of {TOKENS} tokens; median (least-greatest)\n")
    print(table(("", "microseconds"), [(name, spread(values).text(2)) for name, values in found.items()]))
    print()
    print(table(("ratio", "", ""), [(f"{code:3}{name}", value.text(3), "") for code, name, value in ratios]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
