"""Finding our access tokens in text that leaked: a log, a commit, a mail (T118). Offline, with the published keys.

A prefix alone is a false friend: whatever looks like a token would set off a revocation. Here the signature is the
checksum: what the scanner reports was issued by the service, every time, and nothing is asked over the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from keyless.errors import TokenError
from keyless.jose.jwk import KeySet
from keyless.secret import Secret
from keyless.verifier.access_token import PREFIXES, verify_access_token

# Three segments of base64url, the last of which is an ES256 signature: 86 characters.
_SHAPE: Final = r"eyJ[A-Za-z0-9_-]{10,1024}\.[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{86}"


def token_pattern(prefixes: Sequence[str] = PREFIXES) -> str:
    """Return the regular expression to give to a secret scanner; what it finds still has to be checked."""
    return rf"(?<![A-Za-z0-9_-])(?:{'|'.join(re.escape(prefix) for prefix in prefixes)}){_SHAPE}(?![A-Za-z0-9_-])"


def find_tokens(
    text: str, *, keys: KeySet, issuer: str, now: float, prefixes: Sequence[str] = PREFIXES
) -> Iterator[Secret]:
    """Yield the access tokens in a text that the service issued, those whose time is over left out.

    Revoke each at `/oauth/revoke`: whoever holds a token may.

    Args:
        text: Anything.
        keys: The service's published keys, retired ones included.
        issuer: The service's public URL.
        now: Unix seconds.
        prefixes: The prefixes in use.
    """
    for found in re.finditer(token_pattern(prefixes), text):
        try:
            verify_access_token(found[0], keys=keys, issuer=issuer, audience=None, prefixes=prefixes, now=now)
        except TokenError:
            continue  # only looks like one; or is one whose time is over, of no use to anybody
        yield Secret(found[0])
