"""Log each request as a curl line when `HF_DEBUG` or `KEYLESS_DEBUG` is set (S8), with nothing secret in it."""

from __future__ import annotations

from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence
    from typing import Final

_TRUE: Final = frozenset({"1", "on", "yes", "true"})  # what huggingface_hub takes for true, in any case
_MAX_BODY_CHARS: Final = 1000  # of a body that is already redacted


def is_debug(environ: Mapping[str, str]) -> bool:
    """Return whether requests are to be logged."""
    return environ.get("HF_DEBUG", "").strip().lower() in _TRUE or environ.get(
        "KEYLESS_DEBUG", ""
    ).strip().lower() in _TRUE | {"traceback"}


def _logger() -> logging.Logger:
    with import_lock:
        import logging

    logger = logging.getLogger("keyless")
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        # Nobody configured logging, and the user asked to see something.
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logger.addHandler(handler)
    return logging.getLogger("keyless.http")


def log_debug(message: str) -> None:
    """Log a line that holds no secret."""
    _logger().debug("%s", message)


def curl_line(method: str, url: str, headers: Mapping[str, str], body: bytes | None, secrets: Sequence[str]) -> str:
    """Return the curl command that makes the same request, with every secret masked before anything is cut."""
    with import_lock:
        from shlex import quote

        from keyless.http.redact import redact_body, redact_header, redact_url

    words = ["curl", "-X", method]
    for name, value in headers.items():
        words += ["-H", quote(f"{name}: {redact_header(name, value, secrets)}")]
    if body is not None:
        shown = redact_body(body, headers.get("Content-Type", ""), secrets)
        words += ["-d", quote(shown if len(shown) <= _MAX_BODY_CHARS else f"{shown[:_MAX_BODY_CHARS]}…")]
    words.append(quote(redact_url(url, secrets)))
    return " ".join(words)
