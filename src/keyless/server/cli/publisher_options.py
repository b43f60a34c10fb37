"""The options that describe a publisher, of the verbs that add one and change one."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeVar

from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES, Profile
from keyless.oidc.issuer import ReplayMode
from keyless.server.cli.store_access import parse_expiry
from keyless.trust.publisher import Operation

_V = TypeVar("_V")
MAX_DAY_DIGITS: Final = 6


class Reset(Enum):
    """Say that an option was given to take a setting back; absent options are `None`."""

    DEFAULT = "default"


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which job is meant."""
    job = parser.add_argument_group("which job (all given ones must hold; give one twice for alternatives)")
    job.add_argument("--repository", metavar="OWNER/NAME", help="the repository or project the job runs in")
    for name, metavar, text in (
        ("branch", "NAME", "its branch; `*` stands for any characters but / and :"),
        ("tag", "NAME", "its tag; `*` as above"),
        ("workflow", "FILE", "file name of the workflow"),
        ("environment", "NAME", "its deployment environment"),
    ):
        job.add_argument(f"--{name}", metavar=metavar, action="append", default=[], help=text)
    job.add_argument("--claim", metavar="NAME=VALUE", action="append", default=[], help="any other claim")
    ids = parser.add_argument_group("ids that never change (names can be given up and taken by others)")
    kinds: dict[str, list[str]] = defaultdict(list)
    for profile in PROFILES.values():
        for option in profile.pin_options:
            kinds[option].append(profile.kind)
    for option, of in kinds.items():
        ids.add_argument(f"--{option}", dest=_dest(option), metavar="ID", help=f"of {', '.join(of)}")
    ids.add_argument("--pin", metavar="NAME=VALUE", action="append", default=[], help="an issuer's immutable claim")
    ids.add_argument(
        "--pin-first-use",
        action="store_true",
        help="take the ids from the first job that matches the rest, within seven days",
    )


def add_grant_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what it gets; `default` takes a setting back."""
    grant = parser.add_argument_group("what it gets (`default` takes one back)")
    grant.add_argument("--operations", metavar="LIST", help="of read,write,create; default all, for a user read")
    grant.add_argument("--ttl", type=_or_default(_number), metavar="SECONDS", help="lifetime of its tokens, 60-3600")
    grant.add_argument(
        "--expires", type=_or_default(parse_expiry), metavar="WHEN", help="30d, 12h or a date: nothing after that"
    )
    grant.add_argument(
        "--replay", type=_or_default(_replay), metavar="RULE", help="how often an id token counts: once or counted"
    )
    for name, text in (
        ("max-live-tokens", "its live tokens at once; 0: any number"),
        ("max-grants-per-hour", "more tokens than that in an hour pause it; 0: any number"),
        ("max-run-attempt", "refuse re-runs of a run beyond this attempt; 1: every re-run"),
    ):
        grant.add_argument(f"--{name}", type=_or_default(_number), metavar="N", help=text)


def chosen(value: _V | Reset | None) -> _V | None:
    """Return what an option sets, where nothing was set before."""
    return None if isinstance(value, Reset) else value


def changed(value: _V | Reset | None, before: _V | None) -> _V | None:
    """Return what an option makes of what was set before."""
    return before if value is None else chosen(value)


def days(text: str) -> int:
    """Return a number of days from `90d` or `90`; for `type=` of an argument."""
    number = text.removesuffix("d")
    if not number.isascii() or not number.isdecimal() or len(number) > MAX_DAY_DIGITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days, such as 90d")
    return int(number)


def _or_default(parse: Callable[[str], _V]) -> Callable[[str], _V | Reset]:
    def read(text: str) -> _V | Reset:
        return Reset.DEFAULT if text == Reset.DEFAULT.value else parse(text)

    return read


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def _replay(text: str) -> ReplayMode:
    try:
        return ReplayMode(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither once nor counted") from None


def _dest(option: str) -> str:
    return f"pin_{option.replace('-', '_')}"


def pins_of(options: argparse.Namespace, profile: Profile, claims: dict[str, list[str]]) -> dict[str, str]:
    """Return the ids that were given; an id among the claims moves over, for an id is a pin however it was given."""
    pins = {}
    for option in {option for known in PROFILES.values() for option in known.pin_options}:
        if (value := getattr(options, _dest(option))) is None:
            continue
        if option not in profile.pin_options:
            own = ", ".join(f"--{name}" for name in profile.pin_options) or "--pin NAME=VALUE"
            raise ConfigurationError(f"--{option} means nothing for {profile.kind} tokens", hint=f"Use {own}.")
        pins[profile.pin_options[option]] = value
    for text in options.pin:
        claim, value = _assignment("--pin", text)
        if pins.setdefault(claim, value) != value:
            raise ConfigurationError(f"--pin {claim} is given twice")
    for claim in profile.id_claims:
        if claim in claims and len(claims[claim]) == 1 and claim not in pins:
            pins[claim] = claims.pop(claim)[0]
    return pins


def claims_of(options: argparse.Namespace, profile: Profile) -> dict[str, list[str]]:
    """Return the conditions that were given: claim -> its values."""
    claims: dict[str, list[str]] = {}
    if options.repository is not None:
        if profile.repository_claim is None:
            raise ConfigurationError(
                f"--repository means nothing for {profile.kind} tokens", hint="Use --claim NAME=VALUE."
            )
        claims[profile.repository_claim] = [options.repository]
    named: Mapping[str, list[str]] = {
        name: getattr(options, name) for name in ("branch", "tag", "workflow", "environment")
    }
    for claim, values in named.items():
        if values:
            claims.setdefault(claim, []).extend(values)
    for text in options.claim:
        claim, value = _assignment("--claim", text)
        claims.setdefault(claim, []).append(value)
    return claims


def _assignment(option: str, text: str) -> tuple[str, str]:
    claim, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"{option} {text!r} is not NAME=VALUE")
    return claim, value


def operations_of(text: str | None) -> tuple[Operation, ...]:
    """Return the operations of `--operations`; none for an option that was not given."""
    if text is None:
        return ()
    try:
        return tuple(Operation(name.strip()) for name in text.split(","))
    except ValueError:
        raise ConfigurationError(f"--operations {text!r}: use read, write, create") from None
