"""Where a page of a list ended, as an opaque text. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from keyless.errors import MalformedTokenError
from keyless.jose.json import parse_json
from keyless.server.api.problems import ProblemError


def encode_cursor(key: Sequence[int | str]) -> str:
    """Return the text for a key of a list's order."""
    text = json.dumps(list(key), separators=(",", ":")).encode("ascii")
    return base64.urlsafe_b64encode(text).decode("ascii").rstrip("=")


def decode_cursor(text: str | None, *types: type[int | str]) -> tuple[int | str, ...] | None:
    """Return the key that `encode_cursor` made a text of.

    Args:
        text: From the caller; `None` gives `None`.
        types: The type of each part.

    Raises:
        ProblemError: 400: it is none of ours for this list.
    """
    if text is None:
        return None
    try:
        key = parse_json(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, MalformedTokenError):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(types):
        raise ProblemError(400, "cursor_invalid", "after is not the next of an earlier page of this list")
    if any(isinstance(part, str) and not (part.isascii() and part.isprintable()) for part in key):
        raise ProblemError(400, "cursor_invalid", "after is not the next of an earlier page of this list")
    return tuple(key)
