"""An access token's record as JSON. The token itself is nowhere in the store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What a list shows of an issued token; times are Unix seconds."""

    jti: str
    publisher_id: str
    resource: str
    scope: str
    audience: str
    ci_subject: str
    issued_at: int
    expires_at: int
    revoked_at: int | None
    revoked_reason: str | None


def token_json(token: TokenRecord) -> dict[str, object]:
    """Return a token's record."""
    return {
        "jti": token.jti,
        "publisher": token.publisher_id,
        "resource": token.resource,
        "operations": token.scope.split(),
        "audience": token.audience,
        "ci_subject": token.ci_subject,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "revoked_reason": token.revoked_reason,
    }
