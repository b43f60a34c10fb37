"""One call to a registry's door, and its refusal in our words."""

from __future__ import annotations

import json
import time

from keyless.client.exchange import DEFAULT_EXPIRES_IN, ExchangedToken, NotSpentError, read_retry_after, request_id_of
from keyless.errors import ExchangeRefusedError, ExchangeUnavailableError, ResponseError, TransportError
from keyless.http.redact import quote_text
from keyless.http.transport import AnswerError, NotSentError, send
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from keyless.http.deadline import Deadline
    from keyless.http.transport import Response

    Members = dict[str, object]

_LEG: Final = "the registry"
_HINT: Final = "Is that the URL of the registry, with trusted publishing in front of it?"
_UNDECIDED: Final = "unavailable"  # our service's own word for "nothing was granted or refused"


def call(
    method: str,
    url: str,
    *,
    id_token: Secret | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    explain: Callable[[Members], str],
    deadline: Deadline,
    environ: Mapping[str, str],
) -> Members:
    """Send one call and return the members of its answer.

    Args:
        method: `GET` or `POST`.
        url: Where to.
        id_token: What is presented; kept out of logs and messages.
        body: JSON or a form; `headers` say which.
        headers: Further headers.
        explain: Takes the sentence for people out of a refusal's members.
        deadline: Time for the call.
        environ: Variables to use.

    Raises:
        ExchangeRefusedError: The registry said no.
        ExchangeUnavailableError: It could not be reached or is failing.
        ResponseError: It answered something that cannot be understood.
    """
    secrets = [] if id_token is None else [id_token.reveal()]
    try:
        answer = send(
            method, url, headers=headers, body=body, leg=_LEG, deadline=deadline, environ=environ, secrets=secrets
        )
    except AnswerError as error:
        raise ResponseError(error.message, hint=error.hint or _HINT) from None
    except NotSentError as error:
        raise NotSpentError(error.message, hint=error.hint) from None
    except TransportError as error:
        raise ExchangeUnavailableError(error.message, hint=error.hint) from None
    members = _members(answer)
    if members is not None and 200 <= answer.status < 300:
        return members
    request_id = request_id_of(answer, secrets[0] if secrets else "")
    told = quote_text(explain(members or {}), secrets, max_chars=900) if members else ""
    suffix = f" (request id {request_id})" if request_id else ""
    message = f"{_LEG} at {url} refused (HTTP {answer.status}){f': {told}' if told else ''}{suffix}"
    reason = (members or {}).get("reason")
    if answer.status >= 500 or answer.status in {408, 425, 429}:
        message = message.replace(" refused ", " is failing ", 1)
        kind = NotSpentError if answer.status == 503 and reason == _UNDECIDED else ExchangeUnavailableError
        retry_after = read_retry_after(answer.headers.get("retry-after"))
        raise kind(message, status=answer.status, retry_after=retry_after, request_id=request_id)
    if answer.status < 400:
        raise ResponseError(f"{_LEG} at {url} did not answer with a JSON object (HTTP {answer.status})", hint=_HINT)
    raise ExchangeRefusedError(
        message,
        status=answer.status,
        error=None,
        reason=reason if isinstance(reason, str) else None,
        request_id=request_id,
        hint=_HINT if answer.status in {404, 405} and not told else None,
    )


def read_token(members: Members, name: str, *, expires_in: int | None) -> ExchangedToken:
    """Return the token of an answer; `expires_in` in seconds, or `None` where the registry did not say.

    Raises:
        ResponseError: There is none.
    """
    token = members.get(name)
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
        raise ResponseError(f"{_LEG}'s answer holds no {name}", hint=_HINT)
    seconds = expires_in if expires_in is not None and expires_in > 0 else DEFAULT_EXPIRES_IN
    return ExchangedToken(Secret(token), expires_in=seconds, expires_at=time.monotonic() + seconds, request_id=None)


def text(members: Members, name: str) -> str:
    """Return a text member, or nothing."""
    value = members.get(name)
    return value if isinstance(value, str) else ""


def _members(answer: Response) -> Members | None:
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
