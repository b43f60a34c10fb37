"""Problem details (RFC 9457): every answer of the API that is no success.

`code` is stable and documented in `docs/api.md`; `type` is the same as a URN. An outage is 503 with `Retry-After`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Final

from keyless.errors import ConfigurationError, Error, RateLimitedError, RequestError, TokenError, UnavailableError
from keyless.server.doors.http import BodyTooLargeError
from keyless.server.store.admin.logins import LoginRefusedError

_log = logging.getLogger("keyless.server")

TITLES: Final[Mapping[int, str]] = {
    400: "The request cannot be understood",
    401: "A person's login is needed",
    403: "This login may not do that",
    404: "There is no such thing, or it is not yours to see",
    405: "This path does not take that method",
    409: "It cannot be in this state",
    412: "It was changed meanwhile",
    413: "The body is too large",
    415: "The body must be JSON",
    422: "It cannot be so",
    428: "Say which version you mean",
    429: "Too many attempts",
    503: "Not now",
}


class ProblemError(Error):
    """End a call with a problem.

    Args:
        status: HTTP status code, one of `TITLES`.
        problem: The stable code.
        message: What happened, in one sentence.
        hint: What to do next.
        errors: One entry for each member that is wrong: `pointer` (RFC 6901) and `detail`.
        headers: More headers of the answer.
    """

    code = "problem"

    def __init__(
        self,
        status: int,
        problem: str,
        message: str,
        *,
        hint: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.problem = problem
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def not_found() -> ProblemError:
    """Return the one answer for what does not exist and for what is not the caller's to see (T94, T113)."""
    return ProblemError(404, "not_found", TITLES[404])


def problem_for(error: Exception) -> ProblemError:
    """Turn whatever a call raised into the problem it ends with."""
    match error:
        case ProblemError():
            return error
        case BodyTooLargeError():
            return ProblemError(413, error.code, str(error))
        case RequestError():
            return ProblemError(400, error.code, str(error))
        case LoginRefusedError():
            return ProblemError(401, error.code, str(error), hint=error.hint, headers=CHALLENGE)
        case ConfigurationError():
            return ProblemError(422, error.code, str(error), hint=error.hint)
        case TokenError():
            return ProblemError(422, error.code, str(error), hint=error.hint)
        case RateLimitedError(retry_after=seconds):
            return ProblemError(429, error.code, str(error), headers=_retry_after(seconds))
        case UnavailableError(retry_after=seconds):
            message = "the service cannot do this right now; nothing was changed"
            return ProblemError(503, error.code, message, headers=_retry_after(seconds))
        case _:
            message = "the service failed; its log says why"
            return ProblemError(503, "internal_error", message, headers=_retry_after(5))


CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="keyless"'}


def problem_json(problem: ProblemError, *, request_id: str) -> dict[str, object]:
    """Return the members of a problem."""
    content: dict[str, object] = {
        "type": f"urn:keyless:problem:{problem.problem}",
        "title": TITLES[problem.status],
        "status": problem.status,
        "detail": problem.message,
        "code": problem.problem,
        "request_id": request_id,
    }
    if problem.hint:
        content["hint"] = problem.hint
    if problem.errors:
        content["errors"] = [dict(item) for item in problem.errors]
    return content


def log_problem(error: Exception, problem: ProblemError, *, request_id: str) -> None:
    """Say in the log what an answer leaves out."""
    if not isinstance(error, Error):
        _log.error("failed %s", request_id, exc_info=error)
        return
    level = logging.WARNING if problem.status >= 500 else logging.INFO
    _log.log(level, "refused %s status=%d code=%s: %s", request_id, problem.status, problem.problem, error)


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
