"""Ask all questions, in the order a token goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from keyless.client.diagnosis import configuration, provider
from keyless.client.diagnosis.check import Check, Report, Status, scrub, secrets_of, skipped
from keyless.client.diagnosis.claims import CLAIMS, check_claims
from keyless.client.diagnosis.clock import check_clock
from keyless.client.diagnosis.exchange import check_exchange, not_tried
from keyless.client.diagnosis.id_token import ID_TOKEN, IdToken, check_id_token
from keyless.client.diagnosis.publisher import check_publisher, not_asked
from keyless.client.diagnosis.reachability import REACHABILITY, Answered, check_reachability
from keyless.client.environment import is_set
from keyless.client.sources import find_stored_token
from keyless.errors import Error
from keyless.http.deadline import Deadline
from keyless.providers.base import CanMint

DEFAULT_SECONDS: Final = 15.0
_OFFLINE: Final = "HF_HUB_OFFLINE is on"
_NO_ENDPOINT: Final = "the endpoint has to be mended first"


def diagnose(
    environ: Mapping[str, str],
    *,
    resource: str | None = None,
    endpoint: str | None = None,
    exchange: bool = False,
    deadline: Deadline | None = None,
    now: Callable[[], float] = time.time,
) -> Report:
    """Check everything a keyless token depends on; never raises for what is wrong with the job.

    Without `exchange` no token is granted: the platform is asked for one id token, the service for its metadata and, if
    that says it explains, for its verdict on that id token. The report holds no secret, and no piece of one (S8).

    Args:
        environ: Variables of the job.
        resource: What the token is for; `HF_OIDC_RESOURCE` by default.
        endpoint: Base URL of the service; `HF_ENDPOINT`, else the Hub, by default.
        exchange: Also make the exchange, and give the token back.
        deadline: Time for everything; 15 s by default.
        now: This machine's clock, seconds since 1970.
    """
    deadline = deadline or Deadline(DEFAULT_SECONDS)
    secrets = [*secrets_of(environ), _stored(environ)]
    endpoint_check, base = configuration.check_endpoint(environ, endpoint)
    resource_check, target = configuration.check_resource(environ, resource, base, required=exchange)
    provider_check, found = provider.check_provider(environ, base or "https://hub.example.org")
    offline = is_set(environ, "HF_HUB_OFFLINE")

    # Each step gets half of what is left, so that a silent one does not hide what the later ones would find.
    half = deadline.within(deadline.remaining() / 2)
    id_token_check, id_token, usable = _id_token(found, base, half, environ, now, offline=offline)
    if id_token is not None:
        secrets.append(id_token.token.reveal())
    half = deadline.within(deadline.remaining() / 2)
    reach_check, service = _reach(base, half, environ, now, offline=offline)

    checks = [
        resource_check,
        endpoint_check,
        configuration.check_variables(environ),
        configuration.check_source(environ, target),
        provider_check,
        id_token_check,
        check_claims(id_token.claims) if id_token is not None else skipped(CLAIMS, "no id token to look at"),
        check_clock(id_token, None if service is None else service.time, now=now()),
        reach_check,
    ]
    if not (usable and id_token is not None and base and target and _may_exchange(checks)):
        publisher_check = not_asked("it takes a resource, an id token and a service that can be reached")
    elif service is None or not service.explains:
        publisher_check = not_asked("this service does not say that it explains itself; --exchange would tell")
    else:
        publisher_check = check_publisher(id_token, target, base, deadline=deadline, environ=environ)
    checks.append(publisher_check)
    lacking = next((check.id for check in checks if check.status is Status.FAILED), None)
    if exchange and usable and id_token is not None and base and target and _may_exchange(checks):
        exchange_check, granted = check_exchange(id_token, target, base, deadline=deadline, environ=environ)
        if granted is not None:
            secrets.append(granted.access_token.reveal())
    else:
        exchange_check = not_tried(wanted=exchange, lacking=f"{lacking} failed" if lacking else None)
    return Report(tuple(scrub(check, secrets) for check in [*checks, exchange_check]))


def _stored(environ: Mapping[str, str]) -> str:
    try:
        return find_stored_token(environ)[0]
    except Error:
        return ""


def _id_token(
    found: CanMint | None,
    base: str | None,
    deadline: Deadline,
    environ: Mapping[str, str],
    now: Callable[[], float],
    *,
    offline: bool,
) -> tuple[Check, IdToken | None, bool]:
    if found is None:
        return skipped(ID_TOKEN, "no platform to get one from"), None, False
    if base is None:
        return skipped(ID_TOKEN, f"{_NO_ENDPOINT}: it is the audience"), None, False
    if offline and found.mints_anew:
        return skipped(ID_TOKEN, _OFFLINE), None, False
    return check_id_token(found, base, deadline=deadline, environ=environ, now=now)


def _reach(
    base: str | None, deadline: Deadline, environ: Mapping[str, str], now: Callable[[], float], *, offline: bool
) -> tuple[Check, Answered | None]:
    if base is None:
        return skipped(REACHABILITY, _NO_ENDPOINT), None
    if offline:
        return skipped(REACHABILITY, _OFFLINE), None
    return check_reachability(base, deadline=deadline, environ=environ, now=now)


def _may_exchange(checks: list[Check]) -> bool:
    """Return whether an exchange would tell something new: a wrong clock is no reason not to try it."""
    return all(check.status is not Status.FAILED or check.id == "clock" for check in checks)
