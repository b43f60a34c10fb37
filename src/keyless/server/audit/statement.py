"""Signed statements about the audit: checkpoints of all chains, and anchors where a chain now begins (D15). Pure.

A statement is a compact JWS, made with a key that is not in the database. So whoever can change the database can
neither make one nor change one; and whoever keeps the statements can tell what was done to the database since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyless.errors import InvalidClaimError, MalformedTokenError, UnknownKeyError
from keyless.jose.algorithms import verify_signature
from keyless.jose.compact import parse_compact
from keyless.jose.json import parse_json_object
from keyless.jose.jwk import KeySet
from keyless.jose.signing import SigningKey
from keyless.server.audit.chain import Position

CHECKPOINT_TYP: Final = "keyless-checkpoint+jwt"
ANCHOR_TYP: Final = "keyless-anchor+jwt"
MAX_STATEMENT_CHARS: Final = 64 * 1024 * 1024  # some hundred thousand writers in one checkpoint
HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Say what the chains were at a moment.

    `number` counts from 1; `previous` is the digest of the checkpoint before it, or empty for the first one. `heads`
    holds the writers that wrote since then, each with its last event; a `whole` one holds all writers.
    """

    number: int
    at: int
    previous: str
    whole: bool
    heads: Mapping[str, Position]

    def sign(self, key: SigningKey) -> str:
        """Return the statement."""
        heads = {writer: [sequence, digest.hex()] for writer, (sequence, digest) in sorted(self.heads.items())}
        claims = {
            "number": self.number,
            "at": self.at,
            "previous": self.previous,
            "whole": self.whole,
            "heads": heads,
        }
        return key.sign(claims, typ=CHECKPOINT_TYP)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Say where the chain of a writer goes on after its events up to `sequence` were pruned."""

    writer: str
    sequence: int
    digest: bytes
    at: int

    def sign(self, key: SigningKey) -> str:
        """Return the statement."""
        claims = {"writer": self.writer, "sequence": self.sequence, "hash": self.digest.hex(), "at": self.at}
        return key.sign(claims, typ=ANCHOR_TYP)


def statement_digest(statement: str) -> str:
    """Return what the next checkpoint says of this one: SHA-256 in hex."""
    return hashlib.sha256(statement.encode("ascii", "backslashreplace")).hexdigest()


def read_checkpoint(statement: str, keys: KeySet) -> Checkpoint:
    """Return a checkpoint whose signature is good.

    Raises:
        TokenError: It is none, or none of the keys signed it.
    """
    claims = _proven(statement, keys, CHECKPOINT_TYP)
    heads = claims.get("heads")
    if not isinstance(heads, dict):
        raise InvalidClaimError("the checkpoint has no heads", claim="heads")
    return Checkpoint(
        number=_number(claims, "number"),
        at=_number(claims, "at"),
        previous=_text(claims, "previous"),
        whole=claims.get("whole") is True,
        heads={str(writer): _head(head) for writer, head in heads.items()},
    )


def read_anchor(statement: str, keys: KeySet) -> Anchor:
    """Return an anchor whose signature is good.

    Raises:
        TokenError: It is none, or none of the keys signed it.
    """
    return _anchor(_proven(statement, keys, ANCHOR_TYP))


def read_unverified_anchor(statement: str) -> Anchor:
    """Return what an anchor says, for whoever has no key and says that he proved nothing.

    Raises:
        TokenError: It is none.
    """
    return _anchor(parse_json_object(parse_compact(statement, max_chars=MAX_STATEMENT_CHARS).unverified_payload))


def _anchor(claims: Mapping[str, object]) -> Anchor:
    return Anchor(
        writer=_text(claims, "writer"),
        sequence=_number(claims, "sequence"),
        digest=_digest(claims.get("hash")),
        at=_number(claims, "at"),
    )


def _proven(statement: str, keys: KeySet, typ: str) -> dict[str, object]:
    jws = parse_compact(statement, max_chars=MAX_STATEMENT_CHARS)
    header = jws.unverified_header
    if header.get("typ") != typ:
        raise MalformedTokenError(f"this is no {typ}")
    algorithm, kid = header.get("alg"), header.get("kid")
    key = next((key for key in keys.keys if key.kid == kid), None)
    if key is None or not isinstance(algorithm, str) or not key.fits(algorithm):
        raise UnknownKeyError("it is signed with another key")
    verify_signature(algorithm, key.material, jws.signing_input, jws.signature)
    return parse_json_object(jws.unverified_payload)


def _number(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidClaimError(f"{name} is not a number", claim=name)
    return value


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise InvalidClaimError(f"{name} is not a text", claim=name)
    return value


def _head(value: object) -> Position:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], int):
        raise InvalidClaimError("a head is not a number and a hash", claim="heads")
    return value[0], _digest(value[1])


def _digest(value: object) -> bytes:
    try:
        digest = bytes.fromhex(value if isinstance(value, str) else "")
    except ValueError:
        digest = b""
    if len(digest) != HASH_BYTES:
        raise InvalidClaimError("a hash is not 32 bytes in hex", claim="hash")
    return digest
