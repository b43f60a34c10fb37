"""The one place where an error becomes an answer (D9; trust model in `docs/errors.md`).

Refusals of one class have one body for strangers. An outage is 503 with `Retry-After`, never a refusal.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keyless.errors import (
    AudienceMismatchError,
    ClaimError,
    Error,
    ExpiredTokenError,
    ImmatureTokenError,
    NoMatchingPublisherError,
    RateLimitedError,
    ReplayedTokenError,
    RequestError,
    TokenError,
    UnavailableError,
    UnsupportedGrantError,
)
from keyless.server.doors.http import BodyTooLargeError, HttpAnswer, Send, json_answer, send_answer

_log = logging.getLogger("keyless.server")
_MAX_DESCRIPTION_CHARS: Final = 900


class ErrorProfile(StrEnum):
    """Choose the OAuth codes of refusals: what the Hub answers, or what RFC 8693 section 2.2.2 asks for."""

    HUGGINGFACE = "huggingface"
    RFC8693 = "rfc8693"


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what goes on the wire for one error."""

    status: int
    error: str
    reason: str
    description: str
    retry_after: float | None = None


def answer_for(error: Exception, profile: ErrorProfile, *, audience: str) -> Answer:
    """Turn an error into its answer.

    Args:
        error: What was raised.
        profile: The OAuth codes to use.
        audience: The audience that id tokens must carry; public, and named when one does not.
    """
    refused = "invalid_grant" if profile is ErrorProfile.HUGGINGFACE else "invalid_request"
    match error:
        case UnsupportedGrantError():
            return Answer(400, "unsupported_grant_type", error.code, str(error))
        case BodyTooLargeError():
            return Answer(413, "invalid_request", error.code, str(error))
        case RequestError():
            return Answer(400, "invalid_request", error.code, str(error))
        case AudienceMismatchError():
            return Answer(400, refused, error.code, f"the id token's audience must be exactly {audience}")
        case ExpiredTokenError() | ImmatureTokenError():
            return Answer(400, refused, error.code, f"{error}; mint the id token right before it is used")
        case ClaimError():
            return Answer(400, refused, "token_rejected", str(error))
        case TokenError():
            text = "the id token is malformed, not from an issuer trusted here, or not signed by that issuer"
            return Answer(400, refused, "token_rejected", text)
        case NoMatchingPublisherError() | ReplayedTokenError():
            return Answer(400, refused, error.code, str(error))
        case RateLimitedError(retry_after=retry_after):
            return Answer(429, "slow_down", error.code, str(error), retry_after)
        case UnavailableError(retry_after=retry_after):
            text = "the service cannot decide right now; nothing was granted or refused"
            return Answer(503, "temporarily_unavailable", error.code, text, retry_after)
        case _:
            # A bug of ours is an outage to the caller: 503, so that nobody takes it for a refusal.
            return Answer(503, "temporarily_unavailable", "internal_error", "the service failed; see its log", 5)


def describe(text: str) -> str:
    """Return a text in the characters of RFC 6749 section 5.2: printable ASCII without quote and backslash."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text[:_MAX_DESCRIPTION_CHARS])


def log_error(error: Exception, answer: Answer, request_id: str) -> None:
    """Log an error under its request id; one that is none of ours with its traceback."""
    if isinstance(error, Error):
        level = logging.WARNING if answer.status >= 500 else logging.INFO
        _log.log(level, "refused %s status=%d code=%s: %s", request_id, answer.status, error.code, error)
    else:
        _log.error("failed %s", request_id, exc_info=error)


def retry_headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    """Return the `Retry-After` header of an answer, if it has one."""
    if answer.retry_after is None:
        return []
    return [(b"retry-after", str(max(1, math.ceil(answer.retry_after))).encode("ascii"))]


async def send_error(send: Send, error: Exception, profile: ErrorProfile, *, audience: str, request_id: str) -> None:
    """Log an error under its request id and send its answer."""
    await send_answer(send, error_answer(error, profile, audience=audience, request_id=request_id))


def error_answer(error: Exception, profile: ErrorProfile, *, audience: str, request_id: str) -> HttpAnswer:
    """Log an error under its request id and return its answer."""
    answer = answer_for(error, profile, audience=audience)
    log_error(error, answer, request_id)
    return json_answer(
        answer.status,
        {
            "error": answer.error,
            "error_description": describe(answer.description),
            "reason": answer.reason,
            "request_id": request_id,
        },
        request_id=request_id,
        headers=retry_headers(answer),
    )
