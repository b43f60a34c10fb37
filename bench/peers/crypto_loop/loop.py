"""The floor under any exchange in Python: check an RS256 id token and sign an ES256 access token, nothing else.

Straight over `cryptography`, keys parsed once, the fastest JSON there is, and the one strict thing that no service may
leave out: a token has one spelling. Nobody should ship this.
Prints how many exchanges it made, in how much CPU time of its own process, with which JSON library.

    python loop.py TOKENS_FILE JWKS_FILE AUDIENCE SECONDS
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

try:
    import orjson

    loads: Callable[[bytes], Any] = orjson.loads
    dumps: Callable[[object], bytes] = orjson.dumps
    JSON = "orjson"
except ImportError:
    loads = json.loads

    def dumps(value: object) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    JSON = "json"


def decode(text: bytes) -> bytes:
    data = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if encode(data) != text:  # the decoder skips foreign characters and unused bits
        raise ValueError("not the one spelling of these bytes")
    return data


def encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def main(tokens_file: Path, jwks_file: Path, audience: str, seconds: float) -> None:
    keys = {
        jwk["kid"]: rsa.RSAPublicNumbers(
            int.from_bytes(decode(jwk["e"].encode())), int.from_bytes(decode(jwk["n"].encode()))
        ).public_key()
        for jwk in json.loads(jwks_file.read_bytes())["keys"]
    }
    signer = ec.generate_private_key(ec.SECP256R1())
    head = encode(dumps({"alg": "ES256", "kid": "loop", "typ": "at+jwt"})) + b"."
    pkcs1, sha256, ecdsa = padding.PKCS1v15(), SHA256(), ec.ECDSA(SHA256())
    tokens = [line.encode() for line in tokens_file.read_text().split()]

    def exchange(token: bytes) -> bytes:
        signed, _, signature = token.rpartition(b".")
        header, _, payload = signed.partition(b".")
        keys[loads(decode(header))["kid"]].verify(decode(signature), signed, pkcs1, sha256)
        claims = loads(decode(payload))
        now = int(time.time())
        if claims["aud"] != audience or not claims["nbf"] <= now < claims["exp"]:
            raise ValueError("not acceptable")
        granted = {
            "iss": audience,
            "aud": audience,
            "sub": "urn:keyless:publisher:1",
            "client_id": "1",
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + 3600,
            "resource": "models/acme/model",
            "scope": "read write create",
            "ci_iss": claims["iss"],
            "ci_sub": claims["sub"],
        }
        to_sign = head + encode(dumps(granted))
        r, s = decode_dss_signature(signer.sign(to_sign, ecdsa))
        return to_sign + b"." + encode(r.to_bytes(32) + s.to_bytes(32))

    for token in tokens[:200]:
        exchange(token)
    made, start = 0, time.process_time()
    while (taken := time.process_time() - start) < seconds:
        for _ in range(50):
            exchange(tokens[made % len(tokens)])
            made += 1
    print(json.dumps({"exchanges": made, "cpu_seconds": taken, "json": JSON}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
