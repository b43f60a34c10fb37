"""Who asks: nobody, or the holder of a verified access token."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from keyless.errors import MalformedTokenError, TokenError, UnavailableError
from keyless.hub.errors import HubError, bad_credentials
from keyless.resource import Resource, ResourceType
from keyless.verifier.bearer import read_authorization


class AccessToken(Protocol):
    """What the hub needs to know of a verified token; `keyless.verifier.VerifiedAccessToken` is one."""

    @property
    def publisher_id(self) -> str:
        """The trusted publisher the token was issued to."""

    @property
    def resource(self) -> Resource:
        """The one resource it is good for."""

    @property
    def operations(self) -> AbstractSet[str]:
        """What it may do there: `read`, `write`, `create`."""

    @property
    def ci_issuer(self) -> str:
        """The CI platform that vouched for the job."""

    @property
    def ci_subject(self) -> str:
        """The job, in that platform's words."""


class TokenVerifier(Protocol):
    """The seam to the verifier; called in worker threads, for every request with a token."""

    def verify(self, token: str, /) -> AccessToken:
        """Return what the token says.

        Raises:
            TokenError: The token is not acceptable.
            UnavailableError: That could not be found out now.
        """


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `token` is `None` for an anonymous caller."""

    token: AccessToken | None = None

    @property
    def is_anonymous(self) -> bool:
        """Tell whether no token was sent."""
        return self.token is None

    @property
    def is_user(self) -> bool:
        """Tell whether the token stands for an account and not for one repository."""
        return self.token is not None and self.token.resource.type is ResourceType.USER

    @property
    def name(self) -> str:
        """Return the name under which this caller signs commits."""
        return "anonymous" if self.token is None else f"[OIDC] {self.token.ci_subject}"


ANONYMOUS = Identity()


def token_from(authorization: Sequence[str]) -> str | None:
    """Return the token of the `Authorization` headers, or `None` when there is none.

    `Bearer` is what the client sends; `Basic` carries the token as its password, as git and browsers do.

    Raises:
        HubError: 401; more than one header, another scheme, or one that is empty.
    """
    try:
        return read_authorization(authorization)
    except MalformedTokenError:
        raise bad_credentials() from None


def identify(authorization: Sequence[str], verifier: TokenVerifier) -> Identity:
    """Find out who asks. Blocks; a token that is not acceptable is never read as "no token".

    Raises:
        HubError: 401 for a bad, expired or revoked token; 503 when the token service does not answer.
    """
    token = token_from(authorization)
    if token is None:
        return ANONYMOUS
    try:
        return Identity(verifier.verify(token))
    except TokenError as error:
        raise bad_credentials() from error
    except UnavailableError as error:
        raise HubError(
            "The token could not be checked now, try again later",
            status=503,
            headers={"Retry-After": str(max(1, round(error.retry_after)))},
        ) from error
