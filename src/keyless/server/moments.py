"""Times as people write them: a span from now, a date, a date and time with a zone. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from keyless.errors import ConfigurationError

_UNITS: Final = {"d": 86400, "h": 3600, "m": 60}


def parse_moment(text: str, *, now: float, sign: int = 1) -> int:
    """Return Unix seconds from `30d`, `12h`, `5m`, a date, or a date and time with a zone.

    Args:
        text: As a person wrote it.
        now: Unix seconds, from which a span counts.
        sign: 1 for a span ahead, -1 for one that is over.

    Raises:
        ConfigurationError: It is none of these.
    """
    if text[:-1].isascii() and text[:-1].isdecimal() and text[-1:] in _UNITS and len(text) < 10:
        return int(now) + sign * int(text[:-1]) * _UNITS[text[-1]]
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not like 30d, 12h, 2027-01-31 or 2027-01-31T12:00Z") from None
    if when.tzinfo is None:
        if len(text) > len("2027-01-31"):
            raise ConfigurationError(f"{text!r} needs its zone, for example 2027-01-31T12:00Z")
        when = when.replace(tzinfo=UTC)
    try:
        return int(when.timestamp())
    except (OverflowError, ValueError):
        raise ConfigurationError(f"{text!r} is no time that a calendar knows") from None
