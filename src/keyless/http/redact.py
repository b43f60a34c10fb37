"""Keep secrets out of what people read: log lines, error messages, quoted answers.

Everything is redacted first and cut afterwards; the other way round a cut hides the closing quote and the rule that
needs it no longer fires. Bodies are parsed, not searched: of a body that cannot be parsed only the size is told. Of a
parsed one only values of names known to be harmless are shown (`SHOWN_NAMES`), so a new secret field does not need a
new rule. Pure.
"""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

MASK: Final = "***"
MAX_QUOTED_CHARS: Final = 500  # of a server's own words in a message
_MAX_SCANNED_CHARS: Final = 65_536  # of an answer; a message needs no more, and every character costs time

# Fields of OAuth requests and answers (RFC 6749, RFC 8693) and of CI request URLs that are not secret.
SHOWN_NAMES: Final = frozenset(
    {
        "api-version",
        "audience",
        "client_id",
        "error",
        "error_description",
        "error_uri",
        "expires_in",
        "grant_type",
        "issued_token_type",
        "placeholder",
        "reason",
        "request_id",
        "requested_token_type",
        "resource",
        "scope",
        "subject_token_type",
        "actor_token_type",
        "token_type",
        "token_type_hint",
    }
)
_SHOWN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent", "x-request-id"}
)
_TOKEN_SHAPES: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*"  # base64url of '{"': the start of every JWS, whole or cut
    r"|[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"  # three long segments, whatever they start with
    r"|\b(?:hf|kl)_[A-Za-z0-9][A-Za-z0-9._-]{5,}"  # access tokens of the Hub and of our service
    r"|\b(?:github_pat|gh[pousr]|glpat|pypi|npm)[_-][A-Za-z0-9_-]{16,}",
    re.ASCII,
)
_ANSI_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_SLICE_CHARS: Final = 8  # no slice of a known secret this long stays; S8 asks for 12


def _mask_slices(text: str, secret: str) -> str:
    """Mask every piece of `text` that is at least `_SLICE_CHARS` of the secret (a server may echo half a token)."""
    width = min(_SLICE_CHARS, len(secret))
    if width < 4 or len(text) < width:
        return text
    pieces = {secret[start : start + width] for start in range(len(secret) - width + 1)}
    out: list[str] = []
    shown_to = 0
    hidden_to = 0
    for start in range(len(text) - width + 1):
        if text[start : start + width] in pieces:
            if start >= hidden_to:
                out.append(text[shown_to:start])
                out.append(MASK)
            hidden_to = shown_to = start + width
    out.append(text[shown_to:])
    return "".join(out)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask known secrets, slices of them, and whatever looks like a token.

    Args:
        text: Any text.
        secrets: Values the caller knows to be secret.
    """
    for secret in secrets:
        if secret:
            text = _mask_slices(text.replace(secret, MASK), secret)
    return _TOKEN_SHAPES.sub(MASK, text)


def clean_text(text: str) -> str:
    """Return text on one line without control, formatting or escape characters, so it cannot steer a terminal."""
    text = _ANSI_ESCAPE.sub(" ", text)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def quote_text(text: str, secrets: Iterable[str] = (), *, max_chars: int = MAX_QUOTED_CHARS) -> str:
    """Make a stranger's text fit for a message: cleaned, redacted, then cut."""
    scanned = text[:_MAX_SCANNED_CHARS]
    clean = redact_text(clean_text(scanned), secrets)
    return clean if len(clean) <= max_chars else f"{clean[: max_chars - 1]}…"


def _show_value(name: str, value: str, secrets: Sequence[str]) -> str:
    return quote_text(value, secrets) if name in SHOWN_NAMES else MASK


def _show_name(name: str, secrets: Sequence[str]) -> str:
    return quote_text(name, secrets) if re.fullmatch(r"[A-Za-z_][\w.-]{0,31}", name, re.ASCII) else MASK


def _redact_json(value: object, name: str, secrets: Sequence[str]) -> object:
    if isinstance(value, dict):
        return {_show_name(key, secrets): _redact_json(item, key, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_json(item, name, secrets) for item in value]
    if isinstance(value, str):
        return _show_value(name, value, secrets)
    if value is None or isinstance(value, bool):
        return value
    return value if name in SHOWN_NAMES else MASK  # a secret may be all digits


def redact_body(body: bytes, content_type: str, secrets: Sequence[str] = ()) -> str:
    """Return a body with every value masked that is not known to be harmless.

    Args:
        body: The whole body; never cut it before.
        content_type: Decides how the body is parsed; only JSON and form bodies are.
        secrets: Values the caller knows to be secret.
    """
    size_only = f"<{len(body)} bytes>"
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            parsed = json.loads(body)
            if not isinstance(parsed, dict | list):
                return size_only
            return json.dumps(_redact_json(parsed, "", secrets), ensure_ascii=True, separators=(",", ":"))
        if kind == "application/x-www-form-urlencoded":
            return _redact_pairs(body.decode("ascii"), secrets)
    except (ValueError, RecursionError):  # UnicodeError and JSONDecodeError are ValueErrors
        pass
    return size_only


def _redact_pairs(text: str, secrets: Sequence[str]) -> str:
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=1000)
    return "&".join(f"{_show_name(name, secrets)}={_show_value(name, value, secrets)}" for name, value in pairs)


def redact_url(url: str, secrets: Sequence[str] = ()) -> str:
    """Return a URL without user information, and with only harmless query values."""
    try:
        parts = urlsplit(url)
        query = f"?{_redact_pairs(parts.query, secrets)}" if parts.query else ""
    except ValueError:
        return MASK
    return quote_text(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", secrets) + query


def redact_header(name: str, value: str, secrets: Sequence[str] = ()) -> str:
    """Return a header's value for a log; of credentials only the scheme is left."""
    lower = name.lower()
    if lower in {"authorization", "proxy-authorization"}:
        scheme = value.partition(" ")[0]
        return f"{scheme} {MASK}" if scheme.lower() in {"basic", "bearer"} else MASK
    return quote_text(value, secrets) if lower in _SHOWN_HEADERS else MASK
