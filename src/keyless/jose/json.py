"""JSON as tokens and key sets may use it: one meaning per text, or none (V05, T09, T11, T15).

The standard parser takes the last of two equal names, reads `NaN`, and lets a deep text end in `RecursionError`; each
lets two parsers disagree about one token. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Final, NoReturn

from keyless.errors import MalformedTokenError

MAX_DEPTH: Final = 16  # V05; real id tokens nest two levels
_INT64: Final = 2**63
_MAX_INT_CHARS: Final = 20  # the longest 64-bit integer has 19 digits and a sign; also stops a quadratic int()


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedTokenError("a JSON object repeats a name")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_INT_CHARS or not -_INT64 <= (number := int(digits)) < _INT64:
        raise MalformedTokenError("a JSON integer does not fit 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedTokenError("a JSON number is not finite")
    return number


def _constant(_name: str) -> NoReturn:
    raise MalformedTokenError("JSON has no NaN or Infinity")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_scan_once: Final[Callable[[str, int], tuple[object, int]]] = vars(_decoder)["scan_once"]


def _check_depth_and_text(value: object, max_depth: int) -> None:
    level: list[object] = [value]
    depth = 0
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                if not item.isascii():
                    _check_text(item)
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        depth += any(isinstance(item, dict | list) for item in level)
        if depth > max_depth:
            raise MalformedTokenError(f"JSON nests deeper than {max_depth} levels")
        level = below


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedTokenError("a JSON text holds half of a surrogate pair") from None


def _read(text: str) -> object:
    try:
        value, end = _scan_once(text, 0)
    except StopIteration:
        value, end = None, -1
    # Anything more than one value is white space around it, or an error.
    return value if end == len(text) else _decoder.decode(text)


def parse_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Parse one JSON text strictly (RFC 8259, RFC 7493 sections 2.1-2.3).

    The caller bounds the size. Names must be unique in every object, numbers finite, integers within 64 bits.

    Raises:
        MalformedTokenError: The bytes are not such a text.
    """
    try:
        value = _read(data.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise MalformedTokenError("not a JSON text") from None
    except RecursionError:
        raise MalformedTokenError(f"JSON nests deeper than {max_depth} levels") from None
    # Counting brackets over-counts those inside strings, so only a suspicious text pays for the walk.
    if data.count(b"{") + data.count(b"[") > max_depth or b"\\u" in data:
        _check_depth_and_text(value, max_depth)
    return value


def parse_json_object(data: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, object]:
    """Parse one JSON object strictly; see `parse_json`.

    Raises:
        MalformedTokenError: The bytes are not a JSON object.
    """
    value = parse_json(data, max_depth=max_depth)
    if not isinstance(value, dict):
        raise MalformedTokenError("not a JSON object")
    return value


def compact_encoder(*, ensure_ascii: bool) -> Callable[[object], str]:
    """Return a function that writes JSON without spaces, made once: `json.dumps` makes an encoder for each call."""
    encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=ensure_ascii)
    make = getattr(json.encoder, "c_make_encoder", None)  # CPython's; `encode` would make one for each call, too
    if make is None:
        return encoder.encode
    text = json.encoder.encode_basestring_ascii if ensure_ascii else json.encoder.encode_basestring
    pieces = make(None, encoder.default, text, None, ":", ",", False, False, True)
    return lambda value: "".join(pieces(value, 0))
