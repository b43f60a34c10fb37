"""What an exchange that grants nothing says, and to whom (D12, T94, T95). Pure."""

from __future__ import annotations

from keyless.errors import NoMatchingPublisherError, ReplayedTokenError, TooManyTokensError
from keyless.oidc.issuer import ReplayMode
from keyless.server.services.selection import Selection, reasons_of
from keyless.server.services.token_request import TokenRequest, printable
from keyless.server.services.trail import proven_claims
from keyless.server.services.verification import ProvenIdentity
from keyless.server.store.grants import Outcome
from keyless.trust.match import Mismatch


def too_many(outcome: Outcome, now: float) -> TooManyTokensError:
    """Return the refusal of one token too many; `now` in Unix seconds."""
    return TooManyTokensError(
        "the trusted publisher has as many live tokens as it may; it gets one more when one of them ends or is revoked",
        retry_after=max(1.0, (outcome.room_at or now) - now),
    )


def replayed(mode: ReplayMode, outcome: Outcome, now: float) -> ReplayedTokenError:
    """Return the refusal of an id token that was used before; `now` in Unix seconds."""
    when = f" {max(0.0, now - outcome.first_used_at):.0f} s ago" if outcome.first_used_at is not None else ""
    if mode is ReplayMode.COUNTED:
        return ReplayedTokenError(f"this id token was first exchanged{when} and has been used as often as is allowed")
    return ReplayedTokenError(
        f"this id token was already exchanged{when}. Each exchange needs a fresh one: let the client mint it (unset"
        " HF_OIDC_ID_TOKEN and give the job 'permissions: id-token: write'), or let the owner of the publisher set"
        " its replay to 'counted'"
    )


def no_match(selection: Selection, request: TokenRequest, identity: ProvenIdentity) -> NoMatchingPublisherError:
    """Say what differs: to everyone the caller's own claims, to the proven owner also which of them (D12, T94, T95)."""
    token, resource = identity.token, selection.resource
    # Who named a publisher is told of it, not of its resource: an id must not tell what it belongs to (T94).
    target = request.publisher_id or request.resource_type or (resource.short if resource is not None else "")
    said = proven_claims(identity)
    shown = ", ".join(f"{name} {printable(said[name])}" for name in list(said)[:8])
    message = f"no trusted publisher of {printable(target)} accepts this id token"
    # What differs comes first: whoever cuts a long message must not cut the one thing its reader needs.
    if (nearest := next((v for v in selection.verdicts if v.owner_proven), None)) is not None:
        differing = ", ".join(_differs(item) for item in nearest.mismatches)
        message = f"{message}; your publisher {nearest.publisher.id} wants something else for {differing}"
    message = f"{message}. The token says: {shown or 'sub ' + printable(token.subject)}"
    return NoMatchingPublisherError(message, reasons=reasons_of(selection))


def _differs(item: Mismatch) -> str:
    return f"{item.claim} {printable(item.received)}" if item.received is not None else f"{item.claim} (absent)"
