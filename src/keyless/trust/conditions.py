"""Comparing one claim with what a publisher demands (D11, M01-M06). Pure.

Exact, one-of, or a glob over ref-like names. No policy language and no regular expression from a user: a condition can
be shown, indexed and explained.
"""

from __future__ import annotations

from typing import Final

from keyless.issuers.profile import Profile, fold_ascii
from keyless.trust.publisher import Condition, Operator

MAX_STARS: Final = 2  # M06
_SEPARATORS: Final = "/:"  # a star never crosses these (T64)


def glob_matches(pattern: str, value: str) -> bool:
    """Tell whether a value fits a glob whose `*` stands for any characters but `/` and `:` (M06).

    Linear in the length of the value, whatever the pattern; the whole value must fit.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return value == head
    *between, tail = rest
    if len(rest) > MAX_STARS or len(value) < len(head) + len(tail):
        return False
    if not (value.startswith(head) and value.endswith(tail)):
        return False
    free = value[len(head) : len(value) - len(tail)]
    if not between:
        return _first_separator(free) < 0
    middle = between[0]
    # A star takes no separator, so the first one of `free` is the first one of the middle part: that leaves one place.
    if (offset := _first_separator(middle)) < 0:
        return _first_separator(free) < 0 and middle in free
    start = _first_separator(free) - offset
    return start >= 0 and free.startswith(middle, start) and _first_separator(free[start + len(middle) :]) < 0


def _first_separator(text: str) -> int:
    """Return where the first separator stands, or -1."""
    return min((place for separator in _SEPARATORS if (place := text.find(separator)) >= 0), default=-1)


def holds(condition: Condition, received: str | None, profile: Profile) -> bool:
    """Tell whether a condition holds for the value a token carries; an absent claim satisfies nothing (M02, T80)."""
    if received is None or received == "":
        return False
    wanted = condition.values
    if condition.claim in profile.folded_claims:
        received = fold_ascii(received)
        wanted = tuple(fold_ascii(value) for value in wanted)
    if condition.operator is Operator.GLOB:
        return condition.claim in profile.glob_claims and any(glob_matches(value, received) for value in wanted)
    return received in wanted
