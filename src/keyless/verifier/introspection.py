"""Ask the token service whether a token still stands (RFC 7662).

The answer can only take away: what a resource server acts on is the token it verified itself, and an answer about any
other token is refused (T106). No answer is an outage, neither a refusal nor a pass.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from keyless.errors import InvalidClaimError, RevokedTokenError, TransportError, UnavailableError
from keyless.secret import Secret
from keyless.verifier.access_token import VerifiedAccessToken
from keyless.verifier.connections import Connections
from keyless.verifier.inside import DEFAULT_TIMEOUT_SECONDS, basic, read_members

_WHAT: Final = "introspection endpoint"

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
        self._connections: Final = Connections(url, _WHAT, timeout_seconds=timeout_seconds)
        self._authorization: Final = basic(name, credential)

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
        return read_members(answer, _WHAT)
