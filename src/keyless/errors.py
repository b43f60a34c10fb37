"""Every error the project raises on purpose, in one tree.

A caller catches one class per decision: try again later, change the CI file, ask the administrator. Each class
has a stable `code`: snake case, documented in `docs/errors.md`, never reused for something else. No message carries
a token, key material or another party's policy. Pure: no imports from the project, no input or output.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs every job 3 ms, and nothing here needs it when it runs
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar


class Error(Exception):
    """Be the common base; never raised directly.

    Args:
        message: One sentence that says what happened and where.
        hint: What to do next, or `None` where nothing useful can be said. May span several lines.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigurationError(Error):
    """A setting or an argument cannot work; the message names it."""

    code = "configuration"


class ResourceSyntaxError(ConfigurationError):
    """A resource name does not fit the grammar of `keyless.resource`."""

    code = "resource_syntax"


# --- transport: no usable HTTP answer --------------------------------------------------------------------------------


class TransportError(Error):
    """No usable HTTP answer came back: network, TLS, proxy, time, size or a refused redirect.

    Args:
        retryable: True when the same request may succeed later without anyone changing anything.
    """

    code = "transport"

    def __init__(self, message: str, *, retryable: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


# --- client: resolving a token inside a CI job -----------------------------------------------------------------------


class OIDCError(Error):
    """A keyless token was asked for and could not be had (promise S6: never a silent unauthenticated run)."""

    code = "oidc"


class OIDCConfigurationError(OIDCError, ConfigurationError):
    """A variable or an argument of the client cannot work; the message names it."""

    code = "oidc_configuration"


class ProviderNotFoundError(OIDCError):
    """No CI platform that can give an id token was found, and none was handed over."""

    code = "provider_not_found"


class IdTokenPermissionError(OIDCError):
    """The CI platform is known, but this job may not mint an id token; the hint holds the lines to add."""

    code = "id_token_permission"


class MintError(OIDCError):
    """The CI platform's id-token endpoint refused, or answered something that is not a token."""

    code = "mint_failed"

    def __init__(self, message: str, *, status: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class MintUnavailableError(MintError):
    """The CI platform's id-token endpoint could not be reached or is failing; the same request may succeed later."""

    code = "mint_unavailable"


class AudienceError(OIDCError):
    """The id token at hand is meant for another audience; reported before anything is sent."""

    code = "audience"


class ExchangeRefusedError(OIDCError):
    """The token service said no (HTTP 4xx except 429).

    Args:
        status: HTTP status code.
        error: OAuth `error` code of the answer, or `None`.
        reason: Our service's stable reason, or `None` when another service answered.
        request_id: The service's request id, or `None`.
    """

    code = "exchange_refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error: str | None = None,
        reason: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.error = error
        self.reason = reason
        self.request_id = request_id


class ExchangeUnavailableError(OIDCError):
    """The token service could not be reached or is failing (5xx, 429, time-out); try again later.

    Args:
        retry_after: Seconds after which the service asked to try again, or `None`.
        status: HTTP status code, or `None` when no answer came.
        request_id: The service's request id, or `None`.
    """

    code = "exchange_unavailable"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        request_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.status = status
        self.request_id = request_id


class ResponseError(OIDCError):
    """The token service answered with success, but the answer cannot be understood."""

    code = "response"


# --- tokens: why a token is not acceptable (server and verifier) -----------------------------------------------------


class TokenError(Error):
    """A token is not acceptable."""

    code = "token_rejected"


class MalformedTokenError(TokenError):
    """The token, or a part of it, does not have the shape its standard demands."""

    code = "token_malformed"


class UntrustedIssuerError(TokenError):
    """The token names an issuer that is not configured here."""

    code = "issuer_unknown"


class UnknownKeyError(TokenError):
    """The token names a key that its issuer does not publish."""

    code = "key_unknown"


class InvalidSignatureError(TokenError):
    """The signature does not verify, or the algorithm is not allowed."""

    code = "signature_invalid"


class RevokedTokenError(TokenError):
    """The token was genuine, but it or the trust behind it was withdrawn."""

    code = "token_revoked"


class ClaimError(TokenError):
    """One claim of a correctly signed token is not acceptable.

    Args:
        claim: Name of the claim.
    """

    code = "claim_rejected"

    def __init__(self, message: str, *, claim: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.claim = claim


class MissingClaimError(ClaimError):
    """A required claim is absent or empty."""

    code = "claim_missing"


class InvalidClaimError(ClaimError):
    """A claim has the wrong type, or a value outside what is allowed."""

    code = "claim_invalid"


class ExpiredTokenError(ClaimError):
    """The token's time is over."""

    code = "token_expired"


class ImmatureTokenError(ClaimError):
    """The token is not valid yet (`nbf` or `iat` in the future beyond the leeway)."""

    code = "token_not_yet_valid"


class AudienceMismatchError(ClaimError):
    """The token is meant for somebody else."""

    code = "audience_mismatch"


class InsufficientScopeError(TokenError):
    """The token is good, but not for this resource or this operation (RFC 6750 section 3.1: 403, not 401)."""

    code = "insufficient_scope"


# --- the exchange: a genuine token that gets nothing -----------------------------------------------------------------


class RequestError(Error):
    """The request itself cannot be understood; the message names the parameter."""

    code = "request_malformed"


class UnsupportedGrantError(Error):
    """The `grant_type` is not one this endpoint knows."""

    code = "unsupported_grant_type"


class NoMatchingPublisherError(Error):
    """The id token is genuine, and no trusted publisher of the resource accepts it.

    Also the answer for a resource that does not exist: strangers must not be able to tell the two apart (T94).

    Args:
        reasons: What differed, for the audit and the resource's owner. Never sent to a stranger.
    """

    code = "no_matching_publisher"

    def __init__(self, message: str, *, reasons: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reasons = tuple(reasons)


class ReplayedTokenError(Error):
    """The id token was already exchanged as often as its issuer's replay rule allows."""

    code = "token_replayed"


class RateLimitedError(Error):
    """Too many requests; `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class TooManyTokensError(RateLimitedError):
    """The publisher has as many live tokens as it may; `retry_after` is until the first of them ends (T117)."""

    code = "too_many_tokens"


# --- managing trust over the network ----------------------------------------------------------------------------------


class AccessRefusedError(Error):
    """The management API did not accept the login, or the login may not do that.

    Args:
        problem: The API's own stable code.
    """

    code = "access_refused"

    def __init__(self, message: str, *, problem: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem


class ConflictError(Error):
    """It was changed by somebody else meanwhile; look at it again."""

    code = "conflict"


class UnavailableError(Error):
    """Something we depend on is down (an issuer's keys, the database): never a refusal. `retry_after` in seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: float = 5.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class LockedError(UnavailableError):
    """The operator stopped everything (T109); nothing is granted until it is unlocked."""

    code = "locked"
