"""What a check found, in a form that may be shown: for people, for programs, and with no secret in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keyless.errors import (
    AudienceError,
    ConfigurationError,
    Error,
    ExchangeRefusedError,
    ExchangeUnavailableError,
    IdTokenPermissionError,
    MintError,
    MintUnavailableError,
    ProviderNotFoundError,
    TransportError,
    UnavailableError,
)
from keyless.http.redact import MASK, clean_text, quote_text, redact_text

MAX_SHOWN_CHARS: Final = 2000  # of one text; a service's own words in it are cut far below
MIN_SECRET_CHARS: Final = 12  # masking `HF_TOKEN=1` would mask every 1; S8 speaks of twelve characters
MIN_TOKEN_CHARS: Final = 20  # the shortest tokens of the Hub have more than thirty
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
# How the variables end in which the platforms we know keep tokens, keys and passwords.
_SECRET_ENDINGS: Final = (
    "_TOKEN",
    "_TOKEN_V2",
    "ACCESSTOKEN",
    "_SECRET",
    "_PASSWORD",
    "_ACCESS_KEY",
    "_ENCRYPTION_KEY",
)


class Status(StrEnum):
    """Say how a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Cause(StrEnum):
    """Say who can mend a failed check."""

    CONFIGURATION = "configuration"  # whoever wrote the job: a variable or an option
    PROVIDER = "provider"  # whoever wrote the job: the platform, or its permission
    UNREACHABLE = "unreachable"  # nobody in the job; worth another try
    REFUSED = "refused"  # the owner of the resource
    OTHER = "other"


def cause_of(error: Error) -> Cause:
    """Return who can mend what an error of the client says."""
    match error:
        case ConfigurationError() | AudienceError():
            return Cause.CONFIGURATION
        case ProviderNotFoundError() | IdTokenPermissionError():
            return Cause.PROVIDER
        case ExchangeRefusedError():
            return Cause.REFUSED
        case ExchangeUnavailableError() | MintUnavailableError() | UnavailableError():
            return Cause.UNREACHABLE
        case TransportError():
            return Cause.UNREACHABLE if error.retryable else Cause.OTHER
        case MintError():
            return Cause.PROVIDER if error.status in {401, 403} else Cause.OTHER
        case _:
            return Cause.OTHER


@dataclass(frozen=True, slots=True)
class Check:
    """Hold one result.

    Args:
        id: Stable name of the check.
        status: How it went.
        seen: What was found, on one line.
        problem: What is wrong, or `None`.
        fix: What to change, with the lines for the CI file, or `None`.
        cause: Of a failed check: who can mend it.
    """

    id: str
    status: Status
    seen: str
    problem: str | None = None
    fix: str | None = None
    cause: Cause | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the members of the JSON document; all are always there."""
        return {
            "id": self.id,
            "status": self.status.value,
            "seen": self.seen,
            "problem": self.problem,
            "fix": self.fix,
        }


def ok(name: str, seen: str) -> Check:
    """Return a check that found nothing to say."""
    return Check(name, Status.OK, seen)


def skipped(name: str, why: str) -> Check:
    """Return a check that was not made."""
    return Check(name, Status.SKIPPED, why)


def warning(name: str, seen: str, problem: str, fix: str) -> Check:
    """Return a check that found something which may matter."""
    return Check(name, Status.WARNING, seen, problem, fix)


def failed(name: str, seen: str, problem: str, fix: str, *, cause: Cause) -> Check:
    """Return a check that found why there is no token."""
    return Check(name, Status.FAILED, seen, problem, fix, cause)


def failed_by(name: str, seen: str, error: Error, *, otherwise: str) -> Check:
    """Return the check that an error of the client ended.

    Args:
        name: Name of the check.
        seen: What was found until then.
        error: Why it failed; its hint is the fix.
        otherwise: The fix when the error has no hint.
    """
    return failed(name, seen, error.message, error.hint or otherwise, cause=cause_of(error))


@dataclass(frozen=True, slots=True)
class Report:
    """Hold all checks, in the order a token goes."""

    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        """Tell whether nothing failed; warnings and skipped checks do not count."""
        return all(check.status is not Status.FAILED for check in self.checks)

    @property
    def causes(self) -> frozenset[Cause]:
        """Return the causes of all failed checks."""
        return frozenset(check.cause for check in self.checks if check.cause is not None)

    def as_json(self) -> dict[str, object]:
        """Return the document `{ok, checks}`."""
        return {"ok": self.ok, "checks": [check.as_json() for check in self.checks]}


def is_variable_name(text: str) -> bool:
    """Return whether a text can be the name of an environment variable."""
    return _VARIABLE_NAME.fullmatch(text) is not None


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """Return the values of a job's environment that must not be shown.

    One who writes the token itself into `KEYLESS_ID_TOKEN_VAR` has a secret in a variable for a name.
    """
    names = [name for name in environ if name.upper().endswith(_SECRET_ENDINGS)]
    pointer = environ.get("KEYLESS_ID_TOKEN_VAR", "").strip()
    if is_variable_name(pointer):
        names.append(pointer)
    values = [environ.get(name, "") for name in names]
    if pointer and not is_variable_name(pointer):
        values.append(pointer)
    return values


def scrub(check: Check, secrets: Iterable[str]) -> Check:
    """Return the check without any piece of a secret and without characters that steer a terminal.

    The one door to the outside: every text of every check goes through it, whoever wrote the text.
    """
    known = sorted({s.strip() for s in secrets if len(s.strip()) >= MIN_SECRET_CHARS}, key=len, reverse=True)

    def line(text: str) -> str:
        body = text.lstrip(" ")
        return " " * (len(text) - len(body)) + redact_text(clean_text(body[:MAX_SHOWN_CHARS]), known)

    def one(text: str) -> str:
        return quote_text(text, known, max_chars=MAX_SHOWN_CHARS)

    return Check(
        check.id,
        check.status,
        one(check.seen),
        None if check.problem is None else one(check.problem),
        None if check.fix is None else "\n".join(line(text) for text in check.fix.splitlines()),
        check.cause,
    )


def looks_secret(text: str) -> bool:
    """Return whether a text as a whole has the shape of a token; a repository may well be called `hf_something`."""
    return len(text) >= MIN_TOKEN_CHARS and redact_text(text) == MASK
