"""What people and machines sign in with: one-time codes, short logins, reading tokens. Pure.

Each is random and stored as a hash only. Their prefixes tell secret scanners, and us, what they are: whatever else is
sent as a login - an access token of ours, a CI job's id token - is a machine's, and changes no trust (T99).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from keyless.secret import Secret

CODE_SECONDS: Final = 30 * 60  # D13
CODE_TRIES: Final = 5  # D13
LOGIN_SECONDS: Final = 15 * 60  # D13: a person's login is short
MAX_READING_SECONDS: Final = 366 * 24 * 3600  # a machine's token that can only read

LOGIN_PREFIX: Final = "klp_"
READING_PREFIX: Final = "klro_"
CODE_PREFIX: Final = "klc-"
_LOGIN: Final = re.compile(r"(?:klp_|klro_)[A-Za-z0-9_-]{43}")
_CODE: Final = re.compile(r"klc-([a-z2-7]{8})-([a-z2-7]{5}-[a-z2-7]{5}-[a-z2-7]{5}-[a-z2-7]{5})")
MAX_TEXT_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Code:
    """A one-time code in its two parts.

    `selector` finds the row and is no secret; `secret` has 100 random bits.
    """

    selector: str
    secret: Secret

    @classmethod
    def new(cls) -> Code:
        """Make a new code."""
        letters = _letters(20)
        return cls(_letters(8), Secret("-".join(letters[start : start + 5] for start in range(0, 20, 5))))

    @classmethod
    def parse(cls, text: str) -> Code | None:
        """Read a code as a person types it, or return `None` when it cannot be one."""
        found = _CODE.fullmatch(text.strip().lower()) if len(text) <= MAX_TEXT_CHARS else None
        return None if found is None else cls(found[1], Secret(found[2]))

    def reveal(self) -> str:
        """Return the text to show, once."""
        return f"{CODE_PREFIX}{self.selector}-{self.secret.reveal()}"

    def digest(self) -> bytes:
        """Return what is stored of the secret."""
        return _digest(self.secret.reveal())

    def fits(self, digest: bytes) -> bool:
        """Compare with what was stored, in constant time."""
        return hmac.compare_digest(self.digest(), digest)


def new_login(*, read_only: bool) -> Secret:
    """Make a login of 256 random bits."""
    return Secret((READING_PREFIX if read_only else LOGIN_PREFIX) + secrets.token_urlsafe(32))


def login_digest(text: str) -> bytes | None:
    """Return what is stored of a login, or `None` for a text that cannot be one."""
    return _digest(text) if _LOGIN.fullmatch(text) else None


def is_of_a_machine(text: str) -> bool:
    """Tell whether a text that is no login is a JWT: an access token of ours or a CI job's id token."""
    return text.count(".") >= 2


def _letters(count: int) -> str:
    return base64.b32encode(secrets.token_bytes(count)).decode("ascii").lower()[:count]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()  # random enough that nothing slower is needed
