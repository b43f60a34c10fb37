"""What a publisher must look like before it is saved; a breach is a `ConfigurationError` that says what to write. Pure.

The same demands are made again when a token is matched, so that a row which got in another way opens nothing (M00).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from keyless.errors import ConfigurationError
from keyless.issuers import Profile
from keyless.oidc.issuer import Issuer, ReplayMode
from keyless.trust.conditions import MAX_STARS
from keyless.trust.publisher import Condition, Operator

MAX_VALUE_CHARS: Final = 255
MAX_CONDITIONS: Final = 32
MAX_ALTERNATIVES: Final = 32
MAX_ID_DIGITS: Final = 19  # a 63-bit number
REF_CLAIMS: Final = frozenset({"branch", "tag", "ref", "ref_path", "environment"})


def check_text(what: str, value: str) -> str:
    """Return `value` if a claim or its pinned value may be this text (M04, T79, T81).

    Raises:
        ConfigurationError: It is empty, too long, or has characters other than printable ASCII.
    """
    if not value.strip():
        raise ConfigurationError(f"{what} is empty", hint="Leave it out when it should not matter.")
    if value != value.strip():
        raise ConfigurationError(f"{what} begins or ends with a space")
    if len(value) > MAX_VALUE_CHARS:
        raise ConfigurationError(f"{what} has {len(value)} characters, at most {MAX_VALUE_CHARS} are allowed")
    if not value.isascii() or not value.isprintable():
        raise ConfigurationError(f"{what} {value!a} has characters other than printable ASCII")
    return value


def make_condition(profile: Profile, claim: str, values: Iterable[str]) -> Condition:
    """Make the condition that a claim has one of these values; a `*` makes it a pattern (D11, M06).

    Raises:
        ConfigurationError: The claim may not be a condition, or a value cannot be.
    """
    check_text("a claim's name", claim)
    if not profile.may_condition(claim):
        raise ConfigurationError(
            f"claim {claim!r} cannot be a condition for {profile.kind} tokens",
            hint=f"Use one of: {', '.join(sorted(profile.condition_claims))}.",
        )
    wanted = []
    for value in values:
        checked = check_text(f"claim {claim!r}", profile.normalise(claim, value))
        if checked not in wanted:
            wanted.append(checked)
    if not wanted:
        raise ConfigurationError(f"claim {claim!r} has no value")
    if len(wanted) > MAX_ALTERNATIVES:
        raise ConfigurationError(f"claim {claim!r} has {len(wanted)} values, at most {MAX_ALTERNATIVES} are allowed")
    if not any("*" in value for value in wanted):
        return Condition(claim, Operator.ONE_OF if len(wanted) > 1 else Operator.EQUALS, tuple(wanted))
    if claim not in profile.glob_claims:
        raise ConfigurationError(
            f"claim {claim!r} is compared exactly, so {wanted[0]!r} cannot be a pattern",
            hint=f"Patterns are for: {', '.join(sorted(profile.glob_claims))}.",
        )
    for value in wanted:
        if value.count("*") > MAX_STARS:
            raise ConfigurationError(f"claim {claim!r}: {value!r} has more than {MAX_STARS} stars")
    return Condition(claim, Operator.GLOB, tuple(wanted))


def check_publisher(
    profile: Profile,
    issuer: Issuer,
    conditions: Iterable[Condition],
    pins: Mapping[str, str],
    *,
    pin_first_use: bool,
) -> tuple[str, ...]:
    """Check that a publisher trusts exactly one identity of its issuer (M00, M00b, D10).

    Args:
        profile: The claim profile of the issuer.
        issuer: The issuer.
        conditions: Made by `make_condition`.
        pins: Immutable ids that were given.
        pin_first_use: Whether ids that are missing are taken from the first token that matches the rest.

    Returns:
        The claims that wait for their first use.

    Raises:
        ConfigurationError: Too little is pinned, or a pinned value cannot be an id.
    """
    named = {condition.claim: condition for condition in conditions}
    if len(named) > MAX_CONDITIONS:
        raise ConfigurationError(f"a publisher has at most {MAX_CONDITIONS} conditions")
    required = profile.required_pins(issuer)
    for claim, value in pins.items():
        if claim not in required:
            raise ConfigurationError(
                f"claim {claim!r} cannot be pinned for {profile.kind} tokens",
                hint=f"Pinned are immutable ids: {', '.join(required)}. Anything else is a condition (--claim).",
            )
        check_text(f"pin {claim!r}", value)
        _check_form(profile, claim, value)
    exact = {claim for claim, condition in named.items() if condition.operator is Operator.EQUALS}
    for claim in exact & set(required):  # an id is an id, also where it is given as a condition
        _check_form(profile, claim, named[claim].values[0])
    missing = tuple(claim for claim in required if claim not in pins and claim not in exact)
    if not missing:
        return ()
    if not pin_first_use:
        raise ConfigurationError(f"the publisher must pin {' and '.join(missing)}", hint=_pin_hint(profile, missing))
    anchor = profile.repository_claim
    if (anchor is not None and anchor not in exact) or not named:
        # T86: whoever comes first is believed, so everything else about them must be said already.
        raise ConfigurationError(
            f"pinning at first use needs {'the exact ' + anchor if anchor else 'another condition'}",
            hint="Give --repository." if anchor else "Give --claim NAME=VALUE.",
        )
    return missing


def _check_form(profile: Profile, claim: str, value: str) -> None:
    form = "a number" if claim in profile.id_claims and not _is_id(value) else profile.pin_problem(claim, value)
    if form is not None:
        raise ConfigurationError(
            f"pin {claim!r}: {value!r} is not {form}", hint="Give the id, not the name: the id never changes."
        )


def check_replay(profile: Profile, replay: ReplayMode | None) -> None:
    """Check that a token which every service of the platform's users accepts counts once (T43).

    Raises:
        ConfigurationError: The kind's audience is everybody's, and the rule would let a token count more than once.
    """
    if profile.fixed_audience is not None and replay is ReplayMode.COUNTED:
        raise ConfigurationError(
            f"a token of {profile.kind} counts once: its audience {profile.fixed_audience} is everybody's",
            hint="Another service that is shown a token could use it here; its jobs can mint one for each exchange.",
        )


def _pin_hint(profile: Profile, missing: Iterable[str]) -> str:
    names = {claim: option for option, claim in profile.pin_options.items()}
    options = " ".join(
        f"--{names[claim]} {'N' if claim in profile.id_claims else 'ID'}" if claim in names else f"--pin {claim}=VALUE"
        for claim in missing
    )
    if profile.kind == "github":
        where = "\nBoth ids: gh api repos/OWNER/NAME --jq '.id, .owner.id'"
    elif profile.kind == "gitlab":
        where = "\nBoth ids: glab api projects/GROUP%2FNAME | jq '.id, .namespace.id'"
    else:
        where = ""
    return (
        f"A name can be given up and taken by somebody else, an id cannot. Give {options}"
        f"{', or --pin-first-use to take it from the first job that matches everything else' if where else ''}.{where}"
    )


def warnings_for(profile: Profile, conditions: Iterable[Condition]) -> tuple[str, ...]:
    """Return what a person should know about a publisher that is allowed and wide (M07)."""
    named = {condition.claim for condition in conditions}
    if profile.kind == "generic" or named & REF_CLAIMS:
        return ()
    wide = (
        "neither a branch, a tag nor an environment is pinned: whoever can push any branch of the repository can change"
        " the workflow there and publish"
    )
    return (wide,)


def _is_id(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= MAX_ID_DIGITS and (value == "0" or value[0] != "0")
