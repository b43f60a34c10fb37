"""The JWS compact serialisation, read so that one token has one spelling (RFC 7515 section 7.1; V02, T12). Pure."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from keyless.errors import MalformedTokenError
from keyless.jose.json import parse_json_object

MAX_TOKEN_CHARS: Final = 32 * 1024  # V01; real id tokens stay below 4 KiB
MAX_CACHED_HEADER_CHARS: Final = 1024  # bounds the header cache to some 300 KiB, whatever strangers send
# One pass in C: `-` and `_` become what the decoder knows, its own `+`, `/` and `=` become what it refuses.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
# The last character of a segment carries 2 or 4 unused bits; they must be zero (RFC 4648 section 3.5), or one token
# would have up to sixteen spellings.
_LAST_OF_TWO: Final = b"AQgw"
_LAST_OF_THREE: Final = b"AEIMQUYcgkosw048"
_PADDING: Final = (b"", b"===", b"==", b"=")  # a rest of one character is no base64; three signs make it an error


def b64url_decode(text: str | bytes) -> bytes:
    """Decode base64url without padding, white space, foreign characters or unused bits (RFC 4648 section 5).

    Raises:
        MalformedTokenError: The text is not the one canonical spelling of any bytes.
    """
    try:
        data = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise MalformedTokenError("not base64url") from None
    tail = len(data) % 4
    if (tail == 2 and data[-1] not in _LAST_OF_TWO) or (tail == 3 and data[-1] not in _LAST_OF_THREE):
        raise MalformedTokenError("not canonical base64url")
    try:
        return binascii.a2b_base64(data.translate(_TO_STANDARD) + _PADDING[tail], strict_mode=True)
    except binascii.Error:
        raise MalformedTokenError("not canonical base64url") from None


def b64url_encode(data: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return b64url_segment(data).decode("ascii")


def b64url_segment(data: bytes) -> bytes:
    """Encode bytes as base64url without padding, as bytes."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL)


class CompactJws(NamedTuple):
    """Hold the parts of a token whose signature nobody has checked yet."""

    unverified_header: Mapping[str, object]
    header_segment: str
    unverified_payload: bytes
    signing_input: bytes
    signature: bytes


@lru_cache(maxsize=256)
def _parse_header(header_segment: str) -> Mapping[str, object]:
    """Parse a header; the tokens of one key share theirs to the byte, so a service sees a handful of them."""
    return MappingProxyType(parse_json_object(b64url_decode(header_segment)))


def parse_compact(token: str, *, max_chars: int = MAX_TOKEN_CHARS) -> CompactJws:
    """Split a token into header, payload and signature without believing any of them.

    Args:
        token: The token as received.
        max_chars: Upper bound, checked before anything is decoded.

    Raises:
        MalformedTokenError: Too long, not three non-empty canonical segments, or a header that is not one JSON object.
    """
    if len(token) > max_chars:
        raise MalformedTokenError(f"the token is longer than {max_chars} characters")
    if token.count(".") != 2:  # counted before splitting: five parts are a JWE, thousands an attack (T10, T11)
        raise MalformedTokenError("a signed token has exactly three segments")
    header_segment, payload_segment, signature_segment = token.split(".")
    if not (header_segment and payload_segment and signature_segment):
        raise MalformedTokenError("a segment of the token is empty")
    payload = b64url_decode(payload_segment)
    signature = b64url_decode(signature_segment)
    parse_header = _parse_header if len(header_segment) <= MAX_CACHED_HEADER_CHARS else _parse_header.__wrapped__
    header = parse_header(header_segment)
    signing_input = token[: len(header_segment) + 1 + len(payload_segment)].encode("ascii")
    return CompactJws(header, header_segment, payload, signing_input, signature)
