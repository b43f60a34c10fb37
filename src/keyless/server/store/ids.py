"""Making the ids that the store hands out."""

from __future__ import annotations

import base64
import os
import secrets
from typing import Final

PUBLISHER_PREFIX: Final = "pub_"
CREDENTIAL_PREFIX: Final = "klrs_"  # so that secret scanners and people know what they found


def new_publisher_id() -> str:
    """Return `pub_` and 20 lower-case base32 characters: 100 random bits."""
    return PUBLISHER_PREFIX + base64.b32encode(secrets.token_bytes(13)).decode("ascii").lower()[:20]


def new_jti(now: float) -> str:
    """Return a new token id: 32 hexadecimal characters, the time in milliseconds first, then 80 random bits.

    Ids of one moment stand side by side in the index, so that a batch writes few pages; they tell nothing that `iat`
    does not.

    Args:
        now: Unix seconds.
    """
    return f"{int(now * 1000):012x}{os.urandom(10).hex()}"


def new_credential() -> str:
    """Return a new resource-server credential: 256 random bits behind a prefix."""
    return CREDENTIAL_PREFIX + secrets.token_urlsafe(32)
