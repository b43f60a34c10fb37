"""Compare this machine's clock with the service's and with the CI platform's. Pure.

An id token is judged by the service's clock and stamped by the platform's; a runner whose own clock is off is where
tokens "from the future" and certificates that are "not yet valid" come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from keyless.client.diagnosis.check import Cause, Check, failed, ok, skipped, warning
from keyless.client.diagnosis.id_token import IdToken, duration, number

CLOCK: Final = "clock"
WARNING_SECONDS: Final = 10.0
FAILED_SECONDS: Final = 30.0  # our service's leeway
_RESOLUTION_SECONDS: Final = 1.0  # of a Date header and of most `iat` claims
_SYNC_FIX: Final = (
    "Synchronise the clock of the machine the job runs on (a self-hosted runner, a suspended VM):\n"
    "    sudo timedatectl set-ntp true"
)
_SERVICE_FIX: Final = "Tell whoever runs the service: its machine needs time synchronisation (NTP)."
_PLATFORM_FIX: Final = "Tell whoever runs the CI platform: its machine needs time synchronisation (NTP)."


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """The `Date` of an answer (RFC 9110 section 6.6.1), and this machine's clock around it.

    Args:
        date: The header.
        age: The `Age` header (RFC 9111 section 5.1) of an answer that came out of a cache, or `None`.
        asked_at: Seconds since 1970 here, when the request was sent.
        answered_at: The same, when the answer was there.
    """

    date: str
    age: str | None
    asked_at: float
    answered_at: float


def distance(moment: float, start: float, end: float) -> float:
    """Return how far this machine's clock is ahead of another's: negative when behind, 0 when they may agree.

    Args:
        moment: What the other clock said, in whole seconds, somewhere between `start` and `end`.
        start: This machine's clock before that.
        end: This machine's clock after that.
    """
    if moment + _RESOLUTION_SECONDS < start:
        return start - moment - _RESOLUTION_SECONDS
    return end - moment if moment > end else 0.0


def _ahead_of_service(seen: ServiceTime | None) -> float | None:
    if seen is None:
        return None
    try:
        moment = parsedate_to_datetime(seen.date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    if seen.age is not None and seen.age.isascii() and seen.age.isdecimal() and len(seen.age) <= 9:
        moment += int(seen.age)
    return distance(moment, seen.asked_at, seen.answered_at)


def _ahead_of_platform(id_token: IdToken | None, now: float) -> float | None:
    issued = number(id_token.claims.get("iat")) if id_token is not None else None
    if id_token is None or issued is None:
        return None
    if id_token.minted_between is not None:
        return distance(issued, *id_token.minted_between)
    # A token that was handed over may be any age, but not from the future.
    return now - issued if issued > now else None


def check_clock(id_token: IdToken | None, service: ServiceTime | None, *, now: float) -> Check:
    """Say how far this machine's clock is from the other two."""
    from_service, from_platform = _ahead_of_service(service), _ahead_of_platform(id_token, now)
    known = [
        (name, skew)
        for name, skew in (("the service", from_service), ("the platform", from_platform))
        if skew is not None
    ]
    if not known:
        return skipped(CLOCK, "neither the service nor a fresh id token told the time")
    seen = "; ".join(f"{_relation(skew)} {name}'s clock" for name, skew in known)
    worst = max((skew for _, skew in known), key=abs)
    if abs(worst) <= WARNING_SECONDS:
        return ok(CLOCK, seen)
    problem, fix = _blame(from_service, from_platform, worst)
    if abs(worst) <= FAILED_SECONDS:
        return warning(CLOCK, seen, problem, fix)
    return failed(CLOCK, seen, problem, fix, cause=Cause.OTHER)


def _relation(skew: float) -> str:
    if abs(skew) < 2 * _RESOLUTION_SECONDS:
        return "within 2 s of"
    return f"{duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'}"


def _blame(from_service: float | None, from_platform: float | None, worst: float) -> tuple[str, str]:
    """Return which of the clocks is wrong: the one that differs from the two others."""
    amount = f"{duration(abs(worst))} {'ahead' if worst > 0 else 'behind'}"
    other = f"{duration(abs(worst))} {'behind' if worst > 0 else 'ahead'}"
    if from_service is not None and from_platform is not None:
        if abs(from_platform) <= WARNING_SECONDS:
            return f"the service's clock is {other}; it refuses id tokens that look too old or too new", _SERVICE_FIX
        if abs(from_service) <= WARNING_SECONDS:
            return f"the CI platform's clock is {other}; its id tokens look too old or too new", _PLATFORM_FIX
    return f"this machine's clock is {amount}; tokens and certificates look too old or too new", _SYNC_FIX
