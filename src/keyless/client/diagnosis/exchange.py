"""Make the exchange itself, once, and give the token back. Only when asked to: it spends the id token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keyless.client.diagnosis.check import Check, failed_by, ok, skipped, warning
from keyless.client.diagnosis.claims import publisher_command
from keyless.client.diagnosis.id_token import IdToken, duration
from keyless.client.exchange import ExchangedToken, exchange_oidc_token
from keyless.client.revocation import REVOKE_SECONDS, can_revoke, revoke_token
from keyless.errors import ExchangeRefusedError, OIDCError
from keyless.http.deadline import Deadline

EXCHANGE: Final = "exchange"
NOT_ASKED: Final = "not asked for: --exchange makes one, which spends a one-time id token"
_FIX: Final = "Ask whoever runs the service; the request id, if there is one, is all they need."


def not_tried(*, wanted: bool, lacking: str | None) -> Check:
    """Return the check when there was no exchange."""
    return skipped(EXCHANGE, f"not possible: {lacking}" if wanted and lacking else NOT_ASKED)


def check_exchange(
    id_token: IdToken, resource: str, endpoint: str, *, deadline: Deadline, environ: Mapping[str, str]
) -> tuple[Check, ExchangedToken | None]:
    """Exchange the id token; the access token too, so that nobody shows it."""
    try:
        granted = exchange_oidc_token(id_token.token, resource, endpoint=endpoint, deadline=deadline, environ=environ)
    except ExchangeRefusedError as error:
        return _refused(error, id_token, resource), None
    except OIDCError as error:
        return failed_by(EXCHANGE, f"no token for {resource}", error, otherwise=_FIX), None
    lifetime = duration(granted.expires_in)
    seen = f"granted for {resource}, good for {lifetime}"
    if granted.request_id:
        seen += f" (request id {granted.request_id})"
    return _give_back(granted, seen, endpoint, environ), granted


def _refused(error: ExchangeRefusedError, id_token: IdToken, resource: str) -> Check:
    seen = f"refused for {resource}{f', reason {error.reason}' if error.reason else ''}"
    check = failed_by(EXCHANGE, seen, error, otherwise=_FIX)
    command = publisher_command(id_token.claims, resource) if error.reason == "no_matching_publisher" else None
    if command is None:
        return check
    fix = f"{check.fix}\nIf exactly this job should publish, the owner of the resource says so:\n{command}"
    return Check(check.id, check.status, check.seen, check.problem, fix, check.cause)


def _give_back(granted: ExchangedToken, seen: str, endpoint: str, environ: Mapping[str, str]) -> Check:
    """Revoke what was only a trial."""
    if not can_revoke(endpoint):
        return ok(EXCHANGE, f"{seen}; the Hub takes no token back, this one was shown to nobody")
    try:
        # A time of its own: whatever the checks took, the token has to go.
        revoke_token(granted.access_token, endpoint=endpoint, deadline=Deadline(REVOKE_SECONDS), environ=environ)
    except ExchangeRefusedError as error:
        if error.status in {404, 405, 501}:
            return ok(EXCHANGE, f"{seen}; the service takes no token back, this one was shown to nobody")
        return _kept(seen, error)
    except OIDCError as error:
        return _kept(seen, error)
    return ok(EXCHANGE, f"{seen}, and revoked again")


def _kept(seen: str, error: OIDCError) -> Check:
    fix = "Nothing needs to be done: the token was shown to nobody and ends by itself."
    return warning(EXCHANGE, seen, f"it could not be revoked: {error.message}", fix)
