"""A signing key as JSON, and back: never its private part, encrypted or not."""

from __future__ import annotations

from keyless.server.representations import reading
from keyless.server.representations.reading import Json
from keyless.server.store.records import SigningKeyRow


def signing_key_json(row: SigningKeyRow) -> dict[str, object]:
    """Return what may be known of a signing key."""
    return {
        "kid": row.kid,
        "purpose": row.purpose,
        "algorithm": row.algorithm,
        "state": row.shown_state,
        "created_at": row.created_at,
        "activated_at": row.activated_at,
        "retired_at": row.retired_at,
    }


def signing_key_from_json(content: Json) -> SigningKeyRow:
    """Read what `signing_key_json` writes.

    Raises:
        ResponseError: It is something else.
    """
    return SigningKeyRow(
        kid=reading.text(content, "kid"),
        purpose=reading.text(content, "purpose"),
        algorithm=reading.text(content, "algorithm"),
        state=reading.text(content, "state"),
        public_jwk="",
        nonce=b"",
        encrypted_private=b"",
        created_at=reading.number(content, "created_at"),
        activated_at=reading.maybe_number(content, "activated_at"),
        retired_at=reading.maybe_number(content, "retired_at"),
    )
