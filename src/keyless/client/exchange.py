"""The exchange: an id token goes to `POST {endpoint}/oauth/token`, a short-lived access token comes back (S4).

RFC 8693 sections 2.1 and 2.2, as JSON with the four members that the Hugging Face Hub's own client sends.
"""

from __future__ import annotations

import os
import time

from keyless.client.environment import clean, is_set, read_endpoint, read_resource, read_timeout_seconds
from keyless.errors import (
    ExchangeRefusedError,
    ExchangeUnavailableError,
    OIDCConfigurationError,
    ResponseError,
    TransportError,
)
from keyless.http.deadline import Deadline
from keyless.http.fork import import_lock
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.transport import Response

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:id_token"
DEFAULT_EXPIRES_IN: Final = 3600  # seconds; what the Hub's client assumes when the answer does not say
MAX_EXPIRES_IN: Final = 366 * 86400  # seconds; beyond it the answer is not about a short-lived token
MAX_ACCESS_TOKEN_CHARS: Final = 16_384

_LEG: Final = "the token service"
_WRONG_PLACE_HINT: Final = "Is HF_ENDPOINT the base URL of the service, and not of a page or proxy in front of it?"
_OUTAGE_HINT: Final = "Nothing was refused: run the step again in a moment."
_UNDECIDED_REASON: Final = "unavailable"  # our service's own word for "nothing was granted or refused"
_REQUEST_ID_HEADERS: Final = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")  # the first present one counts

# What to do about our service's stable reasons. Other services give none, and their error code is looked up instead.
_HINTS: Final[Mapping[str, str]] = {
    "token_rejected": "The service could not accept the id token; its owner finds the request id in the audit.",
    "token_malformed": "What was sent is not an id token: check the variable it came from.",
    "issuer_unknown": "Ask the service's operator to add this CI platform's issuer, or publish from one it knows.",
    "key_unknown": "The id token's key is not one the CI platform publishes; is the token from that platform?",
    "signature_invalid": "The id token was changed or cut on its way; pass it on as it is.",
    "token_expired": "The id token is too old: get it shortly before the exchange, and check the clock of the runner.",
    "token_not_yet_valid": "The id token is from the future: check the clock of the runner.",
    "audience_mismatch": "Set HF_ENDPOINT to the service's own public URL: the id token is requested for exactly that.",
    "claim_missing": "The id token lacks a claim the service needs; was it made for a CI job?",
    "claim_invalid": "The id token has a claim the service does not accept; was it made for a CI job?",
    "no_matching_publisher": (
        "No trusted publisher of that resource accepts this job. Check the resource's spelling, and that a publisher "
        "exists there with this repository, branch, workflow file and environment."
    ),
    "token_replayed": (
        "This id token was used already. Let keyless mint a new one for each step, or ask the owner to set the "
        "publisher's replay mode to 'counted' where one token has to serve the whole job."
    ),
    "request_malformed": "Check the resource: namespace/name, datasets/namespace/name, or a user name.",
    "resource_syntax": "Check the resource: namespace/name, datasets/namespace/name, or a user name.",
    "unsupported_grant_type": "The endpoint does not exchange id tokens; is HF_ENDPOINT right?",
    "invalid_grant": (
        "Check that the resource is spelled right and has a trusted publisher for this repository, branch, workflow "
        "and environment, and that HF_ENDPOINT is the service's own public URL."
    ),
    "invalid_request": "Check the resource: namespace/name, datasets/namespace/name, or a user name.",
}
_STATUS_HINTS: Final[Mapping[int, str]] = {
    401: "The service wants a login before the exchange; is HF_ENDPOINT the right service?",
    403: "Something in front of the service may have refused (a firewall or an allow-list of addresses).",
    404: "There is no token exchange at that address; is HF_ENDPOINT right, including its path?",
    405: "There is no token exchange at that address; is HF_ENDPOINT right, including its path?",
}


class NotSpentError(ExchangeUnavailableError):
    """The exchange did not happen: nothing was sent, or our service said that it granted and refused nothing.

    The same id token may be sent again; after any other failure it may be used up.
    """


class ExchangedToken:
    """An access token and how long it is good for.

    Args:
        access_token: The token.
        expires_in: Seconds of life the service gave it.
        expires_at: When it ends, on the monotonic clock of this process, counted from before the request was sent.
        request_id: The service's id of the exchange, or `None`.
    """

    __slots__ = ("access_token", "expires_at", "expires_in", "request_id")

    def __init__(self, access_token: Secret, *, expires_in: int, expires_at: float, request_id: str | None) -> None:
        self.access_token = access_token
        self.expires_in = expires_in
        self.expires_at = expires_at
        self.request_id = request_id

    def __repr__(self) -> str:
        return f"ExchangedToken(access_token=***, expires_in={self.expires_in}, request_id={self.request_id!r})"


def exchange_oidc_token(
    subject_token: str | Secret,
    resource: str,
    *,
    endpoint: str | None = None,
    deadline: Deadline | None = None,
    environ: Mapping[str, str] | None = None,
) -> ExchangedToken:
    """Exchange an id token for an access token that is good for one resource.

    Nothing is cached and nothing is retried.

    Args:
        subject_token: The CI job's id token; its audience must be the endpoint.
        resource: What the access token is for: `namespace/name`, `datasets/namespace/name`, … or a user name.
        endpoint: Base URL of the service; `HF_ENDPOINT`, else the Hub, by default.
        deadline: Time for everything; `KEYLESS_TIMEOUT` seconds, else 30, by default.
        environ: Variables to use; the process's own by default.

    Raises:
        ExchangeRefusedError: The service said no (4xx except 429).
        ExchangeUnavailableError: It could not be reached or is failing (5xx, 429, time-out).
        ResponseError: It answered something that cannot be understood.
        OIDCConfigurationError: An argument or a variable cannot work.

    Reference:
        RFC 8693 section 2.1 and 2.2.
    """
    environ = os.environ if environ is None else environ
    id_token = clean(subject_token.reveal() if isinstance(subject_token, Secret) else subject_token)
    endpoint = read_endpoint(environ, endpoint)
    resource = read_resource({}, resource)
    if not id_token or not resource:
        raise OIDCConfigurationError("an exchange needs an id token and a resource")
    require_online(environ)
    deadline = deadline or Deadline(read_timeout_seconds(environ))
    with import_lock:
        import json

        from keyless.http.transport import AnswerError, NotSentError, send

    body = json.dumps(
        {
            "grant_type": GRANT_TYPE,
            "subject_token_type": ID_TOKEN_TYPE,
            "subject_token": id_token,
            "resource": resource,
        }
    ).encode()
    sent_at = time.monotonic()  # a token's life is counted from here, so that a slow answer never makes it look longer
    try:
        answer = send(
            "POST",
            f"{endpoint}/oauth/token",
            headers={"Content-Type": "application/json"},
            body=body,
            leg=_LEG,
            deadline=deadline,
            environ=environ,
            secrets=[id_token],
        )
    except AnswerError as error:
        raise ResponseError(error.message, hint=error.hint or _WRONG_PLACE_HINT) from None
    except NotSentError as error:
        raise NotSpentError(error.message, hint=error.hint or _OUTAGE_HINT) from None
    except TransportError as error:
        raise ExchangeUnavailableError(error.message, hint=error.hint or _OUTAGE_HINT) from None
    return _read_answer(answer, id_token=id_token, endpoint=endpoint, sent_at=sent_at)


def require_online(environ: Mapping[str, str]) -> None:
    """Refuse to use the network where the user switched it off.

    Raises:
        OIDCConfigurationError: `HF_HUB_OFFLINE` is on.
    """
    if is_set(environ, "HF_HUB_OFFLINE"):
        raise OIDCConfigurationError(
            "HF_HUB_OFFLINE is set, so no token can be exchanged",
            hint="Unset HF_HUB_OFFLINE for the step that publishes, or unset HF_OIDC_RESOURCE where none is needed.",
        )


def _read_answer(answer: Response, *, id_token: str, endpoint: str, sent_at: float) -> ExchangedToken:
    request_id = request_id_of(answer, id_token)
    if answer.status == 200:
        return _read_success(answer, request_id=request_id, endpoint=endpoint, sent_at=sent_at)
    if answer.status in {408, 425, 429} or answer.status >= 500:
        raise _unavailable(answer, id_token=id_token, endpoint=endpoint, request_id=request_id)
    if 400 <= answer.status < 500:
        raise _refused(answer, id_token=id_token, endpoint=endpoint, request_id=request_id)
    raise ResponseError(
        f"{_LEG} at {endpoint} answered HTTP {answer.status}, which is neither a token nor a refusal",
        hint=_WRONG_PLACE_HINT,
    )


def _parse_object(body: bytes) -> dict[str, object] | None:
    import json

    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _read_success(answer: Response, *, request_id: str | None, endpoint: str, sent_at: float) -> ExchangedToken:
    def broken(what: str) -> ResponseError:
        suffix = f" (request id {request_id})" if request_id else ""
        return ResponseError(
            f"{_LEG} at {endpoint} answered HTTP 200, but {what}{suffix}",
            hint=_WRONG_PLACE_HINT,
        )

    parsed = _parse_object(answer.body)
    if parsed is None:
        raise broken("not with a JSON object")
    token = parsed.get("access_token")
    if not isinstance(token, str) or not token:
        raise broken("without an access_token")
    if len(token) > MAX_ACCESS_TOKEN_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise broken("its access_token is not one line of printable characters")
    expires_in = _read_expires_in(parsed.get("expires_in"))
    if expires_in is None:
        raise broken("its expires_in is not a number of seconds")
    return ExchangedToken(Secret(token), expires_in=expires_in, expires_at=sent_at + expires_in, request_id=request_id)


def _read_expires_in(value: object) -> int | None:
    """Return whole seconds, or `None` for a value that is none. RFC 6749 section 5.1 wants a number; some send text."""
    if value is None:
        return DEFAULT_EXPIRES_IN
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        value = int(value)
    if isinstance(value, float) and abs(value) <= MAX_EXPIRES_IN:  # false for nan and infinity
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_EXPIRES_IN:
        return None
    return value


def _texts(answer: Response, id_token: str) -> tuple[str | None, str | None, str | None]:
    """Return `error`, `error_description` and our `reason` of an answer, each safe to show."""
    with import_lock:
        from keyless.http.redact import quote_text

    parsed = _parse_object(answer.body) or {}

    def text(name: str, max_chars: int) -> str | None:
        value = parsed.get(name)
        return (quote_text(value, [id_token], max_chars=max_chars) or None) if isinstance(value, str) else None

    return text("error", 100), text("error_description", 500), text("reason", 100)


def _quote_body(answer: Response, id_token: str) -> str | None:
    """Return the body of an answer that is not in OAuth's form, when it is text that a person can read."""
    kind = answer.headers.get("content-type", "").lower()
    if "html" in kind or answer.body.lstrip()[:1] == b"<":
        return None
    with import_lock:
        from keyless.http.redact import quote_text

    return quote_text(answer.body.decode("utf-8", "replace"), [id_token]) or None


def request_id_of(answer: Response, id_token: str) -> str | None:
    """Return the service's id of a request, safe to show, or `None`."""
    for name in _REQUEST_ID_HEADERS:
        value = answer.headers.get(name)
        if value:
            if _is_plain_id(value, id_token):  # the usual case does not pay for loading the redaction
                return value
            with import_lock:
                from keyless.http.redact import quote_text

            return quote_text(value, [id_token], max_chars=200)
    return None


def _is_plain_id(value: str, id_token: str) -> bool:
    """Return whether a request id is short, harmless to print, and no piece of the token."""
    return (
        len(value) <= 128
        and value.isascii()
        and all(char.isalnum() or char in "-_=;:." for char in value)
        and not value.startswith(("eyJ", "hf_", "kl_"))
        and not any(value[start : start + 8] in id_token for start in range(max(1, len(value) - 7)))
    )


def _sentence(
    answer: Response, *, verb: str, endpoint: str, id_token: str, request_id: str | None
) -> tuple[str, str | None, str | None]:
    error, description, reason = _texts(answer, id_token)
    told = ": ".join(part for part in (error, description) if part) or _quote_body(answer, id_token)
    suffix = f" (request id {request_id})" if request_id else ""
    return f"{_LEG} at {endpoint} {verb} (HTTP {answer.status})" + (f": {told}" if told else "") + suffix, error, reason


def refusal_of(answer: Response, *, id_token: str, endpoint: str) -> ExchangeRefusedError:
    """Return what a refusing answer of the service says, with a hint and without any piece of the id token."""
    return _refused(answer, id_token=id_token, endpoint=endpoint, request_id=request_id_of(answer, id_token))


def _refused(answer: Response, *, id_token: str, endpoint: str, request_id: str | None) -> ExchangeRefusedError:
    message, error, reason = _sentence(
        answer, verb="refused", endpoint=endpoint, id_token=id_token, request_id=request_id
    )
    hint = _HINTS.get(reason or "") or _HINTS.get(error or "") or _STATUS_HINTS.get(answer.status)
    return ExchangeRefusedError(
        message,
        status=answer.status,
        error=error,
        reason=reason,
        request_id=request_id,
        hint=hint or "The owner of the resource finds the reason in the service's audit.",
    )


def _unavailable(answer: Response, *, id_token: str, endpoint: str, request_id: str | None) -> ExchangeUnavailableError:
    verb = "is asked too often" if answer.status == 429 else "is failing"
    message, _, reason = _sentence(answer, verb=verb, endpoint=endpoint, id_token=id_token, request_id=request_id)
    retry_after = read_retry_after(answer.headers.get("retry-after"))
    hint = f"Nothing was refused: run the step again after {retry_after:.0f} seconds." if retry_after else _OUTAGE_HINT
    kind = NotSpentError if answer.status == 503 and reason == _UNDECIDED_REASON else ExchangeUnavailableError
    return kind(message, status=answer.status, retry_after=retry_after, request_id=request_id, hint=hint)


def read_retry_after(value: str | None) -> float | None:
    """Return seconds from a `Retry-After` header (RFC 9110 section 10.2.3), or `None` where it cannot be read."""
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal() and len(value) <= 6:
        return float(value)
    with import_lock:
        from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
