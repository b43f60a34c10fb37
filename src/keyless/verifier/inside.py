"""What the questions to the inside listener share: the credential, and answers that can be relied on."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from keyless.errors import MalformedTokenError, UnavailableError
from keyless.jose.json import parse_json_object
from keyless.secret import Secret
from keyless.verifier.connections import Answer

DEFAULT_TIMEOUT_SECONDS: Final = 5.0
DEFAULT_RETRY_SECONDS: Final = 5.0
MAX_RETRY_SECONDS: Final = 300.0

_log: Final = logging.getLogger(__name__)


def basic(name: str, credential: Secret) -> Secret:
    """Return the `Authorization` header of a resource server.

    Percent-encoded first (RFC 6749 section 2.3.1); names and credentials of ours are unchanged by it.
    """
    pair = f"{quote(name, safe='')}:{quote(credential.reveal(), safe='')}"
    return Secret("Basic " + base64.b64encode(pair.encode()).decode("ascii"))


def read_members(answer: Answer, what: str) -> Mapping[str, object]:
    """Return the JSON object of a 200.

    Args:
        answer: What came back.
        what: The endpoint's name, for messages.

    Raises:
        UnavailableError: It is anything else.
    """
    if answer.status in {401, 403}:
        # Our own credential is wrong. Whoever sent the token can do nothing about it.
        _log.error("the %s refuses this resource server's credential (HTTP %d)", what, answer.status)
        raise UnavailableError(
            f"the {what} refuses this resource server's credential",
            hint="Set the credential that `keyless trust resource-server add` printed.",
        )
    if answer.status != 200:
        raise UnavailableError(f"the {what} answered HTTP {answer.status}", retry_after=retry_after(answer.retry_after))
    try:
        return parse_json_object(answer.body)
    except MalformedTokenError:
        raise UnavailableError(f"the {what} did not answer in JSON") from None


def retry_after(value: str) -> float:
    """Return the seconds of a `Retry-After` header; its other form, a date, counts as absent."""
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(max(float(value), 1.0), MAX_RETRY_SECONDS)
    return DEFAULT_RETRY_SECONDS
