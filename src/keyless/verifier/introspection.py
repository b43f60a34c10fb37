"""Ask the token service whether a token still stands (RFC 7662).

The answer can only take away: what a resource server acts on is the token it verified itself, and an answer about any
other token is refused (T106). No answer is an outage, neither a refusal nor a pass.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from keyless.errors import (
    InvalidClaimError,
    MalformedTokenError,
    RevokedTokenError,
    TransportError,
    UnavailableError,
)
from keyless.jose.json import parse_json_object
from keyless.secret import Secret
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.connections import Answer, Connections

DEFAULT_TIMEOUT_SECONDS: Final = 5.0
DEFAULT_RETRY_SECONDS: Final = 5.0
MAX_RETRY_SECONDS: Final = 300.0

_log: Final = logging.getLogger(__name__)


class Introspection:
    """The token service's introspection endpoint. Safe to share between threads; keeps a few connections open.

    Args:
        url: The endpoint, on the service's inside listener. Plain http only to this machine or a host named in
            `KEYLESS_INSECURE_HTTP_HOSTS` (D27). No proxy is used.
        name: The resource server's name there.
        credential: Its credential.
        timeout_seconds: For one question, connecting included.

    Raises:
        ConfigurationError: The URL cannot be used.
    """

    def __init__(
        self, url: str, name: str, credential: Secret, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self._connections: Final = Connections(url, timeout_seconds=timeout_seconds)
        # Percent-encoded first (RFC 6749 section 2.3.1); names and credentials of ours are unchanged by it.
        pair = f"{quote(name, safe='')}:{quote(credential.reveal(), safe='')}"
        self._authorization: Final = Secret("Basic " + base64.b64encode(pair.encode()).decode("ascii"))

    def check(self, token: str, verified: VerifiedAccessToken) -> VerifiedAccessToken:
        """Return the verified token if it stands at this moment, with no more operations than the service grants now.

        Args:
            token: The token as received.
            verified: What its proof says.

        Raises:
            RevokedTokenError: It was withdrawn, or the trust behind it was.
            InvalidClaimError: The answer is about another token.
            UnavailableError: There is no answer that could be relied on.
        """
        answer = self._ask(token)
        match answer.get("active"):
            case False:
                raise RevokedTokenError("the token was withdrawn")
            case True:
                pass
            case _:
                raise UnavailableError("the introspection endpoint's answer has no 'active'")
        for name, value in (
            ("jti", verified.jti),
            ("client_id", verified.publisher_id),
            ("resource", str(verified.resource)),
        ):
            if answer.get(name) != value:
                _log.error("the introspection endpoint answered about another token (%s differs)", name)
                raise InvalidClaimError("the introspection answer is about another token", claim=name)
        scope = answer.get("scope")
        if not isinstance(scope, str):
            raise UnavailableError("the introspection endpoint's answer has no 'scope'")
        return verified.narrowed_to(scope.split(" "))

    def close(self) -> None:
        """Close the idle connections; the object can still be used."""
        self._connections.close()

    def _ask(self, token: str) -> Mapping[str, object]:
        try:
            answer = self._connections.post(
                urlencode({"token": token, "token_type_hint": "access_token"}).encode(),
                {
                    "Authorization": self._authorization.reveal(),
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
            )
        except TransportError as error:
            raise UnavailableError(f"a token cannot be checked now: {error.message}") from error
        if answer.status != 200:
            raise _failed(answer)
        try:
            return parse_json_object(answer.body)
        except MalformedTokenError:
            raise UnavailableError("the introspection endpoint did not answer in JSON") from None


def _failed(answer: Answer) -> UnavailableError:
    if answer.status in {401, 403}:
        # Our own credential is wrong. Whoever sent the token can do nothing about it.
        _log.error("the introspection endpoint refuses this resource server's credential (HTTP %d)", answer.status)
        return UnavailableError(
            "the introspection endpoint refuses this resource server's credential",
            hint="Set the credential that `keyless trust resource-server add` printed.",
        )
    return UnavailableError(
        f"the introspection endpoint answered HTTP {answer.status}", retry_after=_retry_after(answer.retry_after)
    )


def _retry_after(value: str) -> float:
    """Return the seconds of a `Retry-After` header; its other form, a date, counts as absent."""
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(max(float(value), 1.0), MAX_RETRY_SECONDS)
    return DEFAULT_RETRY_SECONDS
