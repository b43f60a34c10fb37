"""Look into an id token without verifying it, to tell a user about a mistake before anything is sent.

Nothing here proves anything: the token service decides. Pure but for the clock.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode

from keyless.errors import AudienceError, MintError
from keyless.http.redact import quote_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CLEARLY_EXPIRED_SECONDS: Final = 300  # more than any leeway and most wrong clocks explain
_LATEST_NUMERIC_DATE: Final = 1e11  # the year 5138; a larger integer may not even fit a float
MAX_ID_TOKEN_CHARS: Final = 32_768  # what our service accepts; real tokens have 1-3 kB


def read_unverified_claims(token: str, *, source: str) -> dict[str, object]:
    """Return the claims of a compact JWS (RFC 7515 section 3.1) without checking anything else.

    Args:
        token: The id token.
        source: Where it came from, for the message.

    Raises:
        MintError: It does not have the shape of a token. The message never quotes it.
    """
    segments = token.split(".")
    if len(token) > MAX_ID_TOKEN_CHARS:
        raise MintError(
            f"{source} holds {len(token)} characters; an id token has at most {MAX_ID_TOKEN_CHARS}",
            hint="Something else was put there, a file or a log, say.",
        )
    try:
        if len(segments) != 3 or not all(segments):
            raise ValueError("not three segments")
        json.loads(urlsafe_b64decode(segments[0] + "=" * (-len(segments[0]) % 4)))
        claims = json.loads(urlsafe_b64decode(segments[1] + "=" * (-len(segments[1]) % 4)))
    except (ValueError, RecursionError):  # binascii.Error and UnicodeError are ValueErrors
        claims = None
    if not isinstance(claims, dict):
        raise MintError(
            f"{source} does not hold an id token (a signed JWT: three parts joined by dots)",
            hint="Was the variable filled in? An unresolved placeholder or an access token is not an id token.",
        )
    return claims


def check_audience(token: str, audience: str, *, source: str, hint: str | None = None) -> None:
    """Refuse to send a token that is meant for somebody else, or that ended long ago.

    Args:
        token: The id token, unverified.
        audience: What the token service expects to see in `aud`.
        source: Where the token came from, for the message.
        hint: How to get a token with the right audience.

    Raises:
        AudienceError: `aud` is absent or does not contain the audience.
        MintError: It does not have the shape of a token, or it clearly expired.
    """
    claims = read_unverified_claims(token, source=source)
    found = claims.get("aud")
    audiences = found if isinstance(found, list) else [found]
    if audience not in audiences:
        named = ", ".join(repr(quote_text(str(item), max_chars=200)) for item in audiences[:5] if item is not None)
        raise AudienceError(
            f"the id token of {source} is meant for {named or 'nobody'}, not for {audience!r}; nothing was sent",
            hint=hint,
        )
    expires = claims.get("exp")
    if isinstance(expires, int | float) and abs(expires) < _LATEST_NUMERIC_DATE:
        age = time.time() - expires
        if age > CLEARLY_EXPIRED_SECONDS:
            raise MintError(
                f"the id token of {source} expired {age / 60:.0f} minutes ago; nothing was sent",
                hint="Give the job a fresh id token shortly before it publishes, or check the clock of this machine.",
            )
