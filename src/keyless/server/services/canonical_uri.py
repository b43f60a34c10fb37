"""Request targets that have one reading (RFC 3986 section 6.2.2, RFC 3987, RFC 3629). Pure.

A proxy asks about an address and something else serves it. Where the two could read it differently, the answer is no:
dots and encoded slashes that one of them resolves and the other does not, a second spelling of a character, bytes that
are UTF-8 for one only. Nothing here is repaired.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote_to_bytes

from keyless.errors import RequestError

MAX_URI_CHARS: Final = 8 * 1024
MAX_PATH_CHARS: Final = 2 * 1024
# RFC 3986 section 3.3 without ";": servlet containers cut a segment there, so "..;" is ".." to them. Escapes are
# upper-case (section 6.2.2.1), except `%2f`: npm writes scoped packages so, and a rule has to name it to match.
SEGMENT_CHARS: Final = r"[A-Za-z0-9._~!$&'()*+,=:@-]"
_TARGET: Final = re.compile(rf"((?:{SEGMENT_CHARS}|/|%[0-9A-F]{{2}}|%2f)+)(?:\?[!-\"$-~]*)?")
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_SLASH: Final = re.compile(r"/|%2[Ff]")
# Escaped though it need not be, so that it has a second spelling; or what another decoder would take further.
_NEVER_ESCAPED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%\\")


class UncanonicalUriError(RequestError):
    """The address has more than one reading; answered with 403, for no proxy passes on a 400."""

    code = "uri_not_canonical"


def canonical_path(target: str) -> str:
    """Return the path of a request target as it was sent, if that is the one way to write it.

    Args:
        target: Path and query, percent-encoded, as the client sent it.

    Raises:
        UncanonicalUriError: Too long; an empty, `.` or `..` segment, also behind an encoded slash; an escape that is
            not needed, not UTF-8, or of a character that cannot be seen or passes for another.
    """
    if len(target) > MAX_URI_CHARS:
        raise UncanonicalUriError(f"the address is longer than {MAX_URI_CHARS} characters")
    match = _TARGET.fullmatch(target)
    if match is None:
        raise UncanonicalUriError("the address holds a character that stands for itself nowhere")
    path = match[1]
    if len(path) > MAX_PATH_CHARS:
        raise UncanonicalUriError(f"the path is longer than {MAX_PATH_CHARS} characters")
    _check_segments(path)
    if "%" in path:
        _check_escapes(path)
    return path


def _check_segments(path: str) -> None:
    first, *segments = _SLASH.split(path)
    if first or not path.startswith("/"):
        raise UncanonicalUriError("the address does not start with a slash")
    if any(segment in {".", ".."} for segment in segments) or "" in segments[:-1]:
        raise UncanonicalUriError("the address has an empty or relative segment")
    if not segments[-1] and not path.endswith("/"):
        raise UncanonicalUriError("the address ends with an encoded slash")


def _check_escapes(path: str) -> None:
    if any(int(digits, 16) in _NEVER_ESCAPED for digits in _ESCAPE.findall(path)):
        raise UncanonicalUriError("the address escapes a character that needs none")
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:  # overlong forms among them (RFC 3629 section 3)
        raise UncanonicalUriError("the address is not UTF-8") from None
    if any(unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" for char in text):
        raise UncanonicalUriError("the address holds a character that cannot be seen")
    foreign = "".join(char for char in text if not char.isascii())
    # Full-width letters, dots and slashes turn into ASCII in whoever normalises; no name needs them.
    if any(char.isascii() for char in unicodedata.normalize("NFKC", foreign)):
        raise UncanonicalUriError("the address holds a character that passes for another")
    if not unicodedata.is_normalized("NFC", text):
        raise UncanonicalUriError("the address is not in Unicode's composed form")
