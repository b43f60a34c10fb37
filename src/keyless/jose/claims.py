"""The registered claims, typed (RFC 7519 section 4.1; V10, T14, T15). Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from keyless.errors import ExpiredTokenError, ImmatureTokenError, InvalidClaimError, MissingClaimError

MAX_NUMERIC_DATE = 253_402_300_799  # the last second of the year 9999: later ones break every calendar


def are_short_texts(values: Collection[object], *, max_chars: int) -> bool:
    """Tell quickly whether these are all non-empty printable texts of at most so many characters each.

    True is proof. False proves nothing: look at each value then.
    """
    try:
        together = "".join(values)  # type: ignore[arg-type]  # what is no text ends in the TypeError
    except TypeError:
        return False
    short = len(together) <= max_chars or max(map(len, values)) <= max_chars  # type: ignore[arg-type]  # all are texts
    return short and together.isprintable() and "" not in values


def require_text(claims: Mapping[str, object], name: str) -> str:
    """Return a claim that must be a non-empty text.

    Raises:
        MissingClaimError: Absent or empty.
        InvalidClaimError: Not a text.
    """
    value = claims.get(name)
    if value is None or value == "":
        raise MissingClaimError(f"the token has no {name!r} claim", claim=name)
    if not isinstance(value, str):
        raise InvalidClaimError(f"the claim {name!r} is not a text", claim=name)
    return value


def numeric_date(claims: Mapping[str, object], name: str, *, required: bool) -> int | float | None:
    """Return a NumericDate claim in Unix seconds (RFC 7519 section 2), or `None` when absent and not required.

    A boolean is not a number and neither is a numeric text; a wrong type is never read as "absent" (T14).

    Raises:
        MissingClaimError: Required and absent.
        InvalidClaimError: Not a number between 0 and the year 9999.
    """
    if name not in claims:
        if required:
            raise MissingClaimError(f"the token has no {name!r} claim", claim=name)
        return None
    value = claims[name]
    if type(value) is int and 0 <= value <= MAX_NUMERIC_DATE:  # as nearly every platform writes it
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMERIC_DATE:
        raise InvalidClaimError(f"the claim {name!r} is not a NumericDate", claim=name)
    return value


def check_times(
    *, now: float, expires_at: float, not_before: float | None, issued_at: float | None, leeway_seconds: float
) -> None:
    """Check that a token's time has come and is not over (V11). All in Unix seconds.

    Raises:
        ExpiredTokenError: `now` is not before `expires_at` plus the leeway.
        ImmatureTokenError: `not_before` or `issued_at` is later than `now` plus the leeway.
    """
    if now >= expires_at + leeway_seconds:
        raise ExpiredTokenError(f"the token expired {now - expires_at:.0f} s ago", claim="exp")
    for name, moment in (("nbf", not_before), ("iat", issued_at)):
        if moment is not None and moment > now + leeway_seconds:
            raise ImmatureTokenError(f"the token becomes valid in {moment - now:.0f} s ({name})", claim=name)
