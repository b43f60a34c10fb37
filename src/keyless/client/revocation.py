"""Give a token back before it ends: `POST {endpoint}/oauth/revoke` (RFC 7009 section 2.1)."""

from __future__ import annotations

import os

from keyless.client.environment import DEFAULT_ENDPOINT, read_endpoint
from keyless.errors import ExchangeRefusedError, ExchangeUnavailableError, ResponseError, TransportError
from keyless.http.deadline import Deadline
from keyless.http.fork import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.secret import Secret

REVOKE_SECONDS: Final = 5.0
_LEG: Final = "the token service"


def can_revoke(endpoint: str) -> bool:
    """Return whether the service is known to take tokens back; the Hugging Face Hub has no such endpoint."""
    return endpoint != DEFAULT_ENDPOINT


def revoke_token(
    token: Secret,
    *,
    endpoint: str | None = None,
    deadline: Deadline | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Revoke an access token; holding it is the authority to do so.

    Args:
        token: The access token.
        endpoint: Base URL of the service; `HF_ENDPOINT`, else the Hub, by default.
        deadline: Time for everything; 5 s by default.
        environ: Variables to use; the process's own by default.

    Raises:
        ExchangeRefusedError: The service said no.
        ExchangeUnavailableError: It could not be reached or is failing.
        ResponseError: It answered something that cannot be understood.
    """
    environ = os.environ if environ is None else environ
    endpoint = read_endpoint(environ, endpoint)
    with import_lock:
        from urllib.parse import urlencode

        from keyless.http.transport import AnswerError, send
    try:
        answer = send(
            "POST",
            f"{endpoint}/oauth/revoke",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"token": token.reveal()}).encode("ascii"),
            leg=_LEG,
            deadline=deadline or Deadline(REVOKE_SECONDS),
            environ=environ,
            secrets=[token.reveal()],
        )
    except AnswerError as error:
        raise ResponseError(error.message, hint=error.hint) from None
    except TransportError as error:
        raise ExchangeUnavailableError(error.message, hint=error.hint) from None
    if answer.status >= 500 or answer.status == 429:
        raise ExchangeUnavailableError(
            f"{_LEG} at {endpoint} could not revoke (HTTP {answer.status})", status=answer.status
        )
    if answer.status != 200:
        raise ExchangeRefusedError(f"{_LEG} at {endpoint} did not revoke (HTTP {answer.status})", status=answer.status)
