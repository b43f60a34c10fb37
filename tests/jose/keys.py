"""Real keys, made once per process, and tokens that break rules our own signer would not break."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

from keyless.jose.algorithms import sign
from keyless.jose.compact import b64url_encode
from keyless.jose.signing import SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
EC_ALGORITHMS = ("ES256", "ES384", "ES512")
EDDSA_ALGORITHMS = ("EdDSA", "Ed25519")
ALL_ALGORITHMS = (*RSA_ALGORITHMS, *EC_ALGORITHMS, *EDDSA_ALGORITHMS)


@cache
def _material(family: str, number: int) -> SigningKey:
    return SigningKey.generate(family)


@cache
def signing_key(algorithm: str = "RS256", number: int = 0) -> SigningKey:
    """Return a key for an algorithm, the same one each time; all RSA algorithms share one, for its price."""
    family = {"R": "RS256", "P": "RS256"}.get(algorithm[0], algorithm)
    return SigningKey(f"key-{number}", algorithm, _material(family, number).material)


def forge(key: SigningKey, header: Mapping[str, object] | bytes, payload: Mapping[str, object] | bytes) -> str:
    """Sign exactly this header and payload, sensible or not."""
    segments = [
        b64url_encode(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)
    ]
    signing_input = ".".join(segments)
    signature = sign(key.algorithm, key.material, signing_input.encode())
    return f"{signing_input}.{b64url_encode(signature)}"


class SignatureVector(TypedDict):
    """One signed text of a standard."""

    name: str
    algorithm: str
    jwk: dict[str, object]
    token: str


class ThumbprintVector(TypedDict):
    """One key of a standard, with its thumbprint."""

    name: str
    jwk: dict[str, object]
    thumbprint: str


class KeyVector(TypedDict):
    """One key of a standard, and whether signatures may be verified with it."""

    name: str
    jwk: dict[str, object]
    usable: bool


class UnusableVector(TypedDict):
    """One genuine text of a standard that this library refuses; `hmac_key` proves it genuine."""

    name: str
    token: str
    hmac_key: str | None


class Vectors(TypedDict, total=False):
    """One file of `tests/vectors`."""

    source: str
    claims: dict[str, object]
    keys: list[KeyVector]
    signatures: list[SignatureVector]
    thumbprints: list[ThumbprintVector]
    unusable: list[UnusableVector]


def vectors(source: str) -> Vectors:
    """Return the vectors of one standard."""
    return cast(Vectors, json.loads((VECTORS / source / "vectors.json").read_text()))
