"""Making the ids that the store hands out."""

from __future__ import annotations

import base64
import os
import secrets
from itertools import count
from typing import Final

PUBLISHER_PREFIX: Final = "pub_"
CREDENTIAL_PREFIX: Final = "klrs_"  # so that secret scanners and people know what they found


def new_publisher_id() -> str:
    """Return `pub_` and 20 lower-case base32 characters: 100 random bits."""
    return PUBLISHER_PREFIX + base64.b32encode(secrets.token_bytes(13)).decode("ascii").lower()[:20]


def new_jti(now: float) -> str:
    """Return a new token id: 32 hexadecimal characters: milliseconds, a running number, then 64 random bits.

    The time alone would leave the thousands of one second in no order, and each would write pages of its own in three
    indexes. The number puts those of one process side by side; they tell nothing that `iat` does not.

    Args:
        now: Unix seconds.
    """
    return f"{int(now * 1000):012x}{next(_NUMBERS) & 0xFFFF:04x}{_random_digits()}"


_NUMBERS: Final = count(secrets.randbelow(0x10000))  # not from 0: nobody learns how many there were
_RANDOM_DIGITS: Final = 16
_AT_ONCE: Final = 256
_ready: Final[list[str]] = []


def _random_digits() -> str:
    """Return sixteen random hexadecimal digits; the system is asked for many at once, for it takes its time."""
    try:
        return _ready.pop()
    except IndexError:
        text = os.urandom(_RANDOM_DIGITS // 2 * _AT_ONCE).hex()
        _ready.extend(
            text[start : start + _RANDOM_DIGITS] for start in range(_RANDOM_DIGITS, len(text), _RANDOM_DIGITS)
        )
        return text[:_RANDOM_DIGITS]


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_ready.clear)  # parent and child must never hand out the same


def new_credential() -> str:
    """Return a new resource-server credential: 256 random bits behind a prefix."""
    return CREDENTIAL_PREFIX + secrets.token_urlsafe(32)
