"""What the exchange hands to the store, and what the store answers. Pure: values only. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from keyless.oidc.issuer import ReplayMode


@dataclass(frozen=True, slots=True)
class Covered:
    """Name a further package of a token, and the publisher that was matched for it.

    `pending` says that the package does not exist yet: this use brings it into being (T93).
    """

    resource: str
    publisher_id: str
    publisher_version: int
    pending: bool = False


@dataclass(slots=True, kw_only=True)
class Grant:
    """Ask for one access token: a claim on the id token, a token row and an audit row, or nothing at all (D14).

    Nobody changes one; it is not frozen because that makes it three times as dear, and there is one for every exchange.

    Attributes:
        jti: The access token's id; unique. `ids.new_jti` makes ones that keep the index small.
        publisher_id: The publisher that accepted the id token.
        publisher_version: Its version when it was matched; the mint fails when it changed since (D16).
        issuer_id: The id token's issuer.
        replay_key: What makes the id token unique within its issuer: a hash of `jti`, or of the signing input.
        replay_mode: How often that id token may be exchanged.
        replay_expires_at: Unix seconds after which the id token is refused for its age alone; the claim lives so long.
        resource: Canonical resource.
        scope: Operations, separated by spaces.
        audience: The resource server's audience.
        ci_subject: The id token's `sub`, for attribution.
        issued_at: Unix seconds.
        expires_at: Unix seconds.
        also: Further packages that the token is for, each by its own publisher; none for most tokens.
        first_use_pins: Ids that this use pins; empty unless the publisher waits for its first use (D10).
        pending: The publisher waits for its resource to exist; this use brings it into being (T93).
        max_live_tokens: How many tokens of the publisher may be live at once; `None` or 0: any number (T117).
        revoke_oldest: Make room by revoking the one that ends first, instead of granting nothing.
        max_grants_per_hour: More than that in an hour pause the publisher; `None` or 0: any number (T78).
        keep_refusal: When it is not granted, the audit says so.
        request_id: Names the request in log and audit.
        claims: The id token's allow-listed claims, for the audit (D15).
        address: The caller's network address, kept apart from the audit chain; or `None`.
        user_agent: The caller's user agent, kept with the address; or `None`.
    """

    jti: str
    publisher_id: str
    publisher_version: int
    issuer_id: int
    replay_key: bytes
    replay_mode: ReplayMode
    replay_expires_at: int
    resource: str
    scope: str
    audience: str
    ci_subject: str
    issued_at: int
    expires_at: int
    request_id: str
    also: tuple[Covered, ...] = ()
    first_use_pins: Mapping[str, str] = field(default_factory=dict)
    pending: bool = False
    max_live_tokens: int | None = None
    revoke_oldest: bool = False
    max_grants_per_hour: int | None = None
    keep_refusal: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Ask for one audit row: a genuine id token that got nothing, or an explanation only.

    Attributes:
        reason: The stable code of the refusal, for example `no_matching_publisher`.
        issuer_id: The id token's issuer.
        request_id: Names the request in log and audit.
        at: Unix seconds.
        resource: Canonical resource that was asked for, or `None` when it could not be told.
        ci_subject: The id token's `sub`, or `None`.
        publisher_id: The publisher in question, where there is exactly one; or `None`.
        claims: The id token's allow-listed claims.
        details: What differed, for the resource's owner.
        address: The caller's network address, or `None`.
        user_agent: The caller's user agent, or `None`.
        explained: It was a question about an exchange, not one: its row is `exchange.explained`.
    """

    reason: str
    issuer_id: int | None
    request_id: str
    at: int
    resource: str | None = None
    ci_subject: str | None = None
    publisher_id: str | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    details: tuple[str, ...] = ()
    address: str | None = None
    user_agent: str | None = None
    explained: bool = False


class Verdict(StrEnum):
    """Say what became of one member of a batch."""

    GRANTED = "granted"
    REPLAYED = "replayed"
    PUBLISHER_CHANGED = "publisher_changed"  # version, enabled, expiry, resource or issuer: match again, or refuse
    TOO_MANY_TOKENS = "too_many_tokens"  # the publisher has as many live ones as it may (T117)
    RECORDED = "recorded"  # a `Refusal` is in the audit
    FAILED = "failed"  # the database refused this member alone, whatever its values are; the others went through


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what became of one member of a batch, after its transaction was committed.

    Attributes:
        verdict: The answer.
        use: Which use of the id token this was, from 1; only when granted.
        first_used_at: When the id token was first exchanged, Unix seconds; only when replayed.
        room_at: When the first of too many tokens ends, Unix seconds.
    """

    verdict: Verdict
    use: int | None = None
    first_used_at: int | None = None
    room_at: int | None = None


@dataclass(frozen=True, slots=True)
class TokenState:
    """What is true of an issued token at the moment `as_of` (D5, V20)."""

    jti: str
    publisher_id: str
    resource: str
    scope: str
    audience: str
    ci_issuer: str
    ci_subject: str
    issued_at: int
    expires_at: int
    revoked_at: int | None
    publisher_exists: bool
    publisher_enabled: bool  # and not expired
    issuer_enabled: bool
    resource_active: bool  # and its namespace
    as_of: int
    all_locked: bool = False  # the switch that stops everything (T109)
    operations: str = ""  # what the publisher may do now, separated by spaces

    @property
    def live(self) -> bool:
        """Tell whether the token may be used: not expired, not revoked, and its trust still stands (T91)."""
        return (
            self.as_of < self.expires_at
            and self.revoked_at is None
            and self.publisher_exists
            and self.publisher_enabled
            and self.issuer_enabled
            and self.resource_active
            and not self.all_locked
        )
