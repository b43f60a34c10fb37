"""The reference of errors, reasons and exit codes: what is shown is what the code answers to each of them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any, Final

from keyless import errors
from keyless.cli.output import exit_code
from keyless.client.exchange import refusal_of
from keyless.errors import Error
from keyless.http.transport import Response
from keyless.server.doors.errors import Answer, ErrorProfile, answer_for, describe
from keyless.server.doors.http import BodyTooLargeError
from scripts.docs.text import made_by, prose, sentence, table

AUDIENCE: Final = "https://hub.example.org"
INTRODUCTION = """\
Every reason, error and exit code there is: the answers below are the ones that the service gives, the hints the ones
that the client prints with them, and the exit codes the ones it ends with. What they are for, and what a refusal tells
whom, is in [errors.md](../errors.md); how to find out more about one refusal in [explain.md](../explain.md).
"""
EXIT_CODES: Final = {
    0: "done",
    1: "anything else",
    2: "usage or configuration: change the command or the setting",
    3: "no CI platform, or the job may not have an id token: change the CI file",
    4: "the service refused: ask who owns the resource",
    5: "an outage: try again later",
    130: "interrupted",
}
_ON_THE_WIRE: Final[tuple[type[Error], ...]] = (
    errors.RequestError,
    BodyTooLargeError,
    errors.UnsupportedGrantError,
    errors.MalformedTokenError,
    errors.UntrustedIssuerError,
    errors.UnknownKeyError,
    errors.InvalidSignatureError,
    errors.MissingClaimError,
    errors.InvalidClaimError,
    errors.ExpiredTokenError,
    errors.ImmatureTokenError,
    errors.AudienceMismatchError,
    errors.NoMatchingPublisherError,
    errors.ReplayedTokenError,
    errors.TooManyTokensError,
    errors.RateLimitedError,
    errors.UnavailableError,
    errors.LockedError,
)
"""What the exchange may end with, in the order in which it is found out; anything else is a bug: `internal_error`."""
_VALUES: Final[dict[str, Any]] = {"claim": "sub", "retry_after": 30.0, "retryable": True, "status": 400}


def page() -> str:
    """Return the whole page."""
    lines = [
        "# Reasons, errors and exit codes",
        "",
        *made_by("errors", "src/keyless/errors.py and its users"),
        INTRODUCTION,
    ]
    lines += ["## What the exchange answers", ""]
    head = ("`reason`", "status", "`error`", "`error` with `rfc8693`", "what happened", "what the client says to do")
    lines += table(head, _answers())
    lines += [
        "What happened is for the log, the audit and the owner; strangers are told one sentence for each reason:",
        "",
        *table(("`reason`", "`error_description`"), _descriptions()),
        "Where a sentence is `…`, it names the parameter, claim or time in question.",
        "",
        "## Errors",
        "",
        "`code` is on stderr (`keyless: code: …`) and in Python (`error.code`); the classes are in `keyless.errors`.",
        "",
        *table(("code", "class", "is a", "what happened", "exit code"), _classes()),
        "## Exit codes",
        "",
        *table(("exit code", "meaning", "of"), _exit_codes()),
        *prose(
            "`keyless exec` ends with its command's own code: 128+n when signal n ended it, 126 when it cannot be run, "
            "127 when it was not found."
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def specimen(kind: type[Error], **values: Any) -> Error:
    """Return an error of a class with values that any such error could have."""
    parameters = inspect.signature(kind).parameters.values()
    needed = {
        part.name: _VALUES[part.name] for part in parameters if part.name in _VALUES and part.default is part.empty
    }
    arguments: dict[str, Any] = {**needed, **values}
    return kind("…", **arguments)


def _answers() -> Iterator[tuple[str, ...]]:
    for error in (*(specimen(kind) for kind in _ON_THE_WIRE), ValueError()):
        ours = answer_for(error, ErrorProfile.HUGGINGFACE, audience=AUDIENCE)
        standard = answer_for(error, ErrorProfile.RFC8693, audience=AUDIENCE)
        status = f"{ours.status} with `Retry-After`" if ours.retry_after is not None else str(ours.status)
        code = error.code if isinstance(error, Error) else ours.reason
        what = sentence(type(error).__doc__) if isinstance(error, Error) else "A bug of ours; the log has it."
        what = what if code == ours.reason else f"`{code}` in the audit: {what}"
        hint = (
            _hint(ours)
            if ours.status < 429
            else "nothing: it waits and asks again; run the step again if that was not enough"
        )
        yield f"`{ours.reason}`", status, f"`{ours.error}`", f"`{standard.error}`", what, hint


def _hint(answer: Answer) -> str:
    """Return what our client prints below such an answer."""
    body = {"error": answer.error, "error_description": describe(answer.description), "reason": answer.reason}
    received = Response(answer.status, {}, json.dumps(body).encode())
    return refusal_of(received, id_token="", endpoint=AUDIENCE).hint or ""


def _descriptions() -> Iterator[tuple[str, ...]]:
    seen = set()
    for error in (*(specimen(kind) for kind in _ON_THE_WIRE), ValueError()):
        answer = answer_for(error, ErrorProfile.HUGGINGFACE, audience=AUDIENCE)
        told = answer.description if answer.description.startswith("…") else describe(answer.description)
        if (answer.reason, told) not in seen:
            seen.add((answer.reason, told))
            yield f"`{answer.reason}`", told


def error_classes() -> list[type[Error]]:
    """Return every class of the error tree, as `keyless.errors` has them."""
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in found if issubclass(value, Error)]


def _classes() -> Iterator[tuple[str, ...]]:
    for kind in error_classes():
        parents = ", ".join(f"`{base.__name__}`" for base in kind.__bases__ if issubclass(base, Error))
        codes = " or ".join(map(str, exits(kind)))
        yield f"`{kind.code}`", f"`{kind.__name__}`", parents, sentence(kind.__doc__), codes


def exits(kind: type[Error]) -> list[int]:
    """Return the exit codes that errors of a class lead to."""
    names = inspect.signature(kind).parameters
    ways: list[dict[str, Any]] = [{}]
    if "retryable" in names:
        ways = [{"retryable": True}, {"retryable": False}]
    elif issubclass(kind, errors.MintError):
        ways = [{"status": status} for status in (403, 500)]
    return sorted({exit_code(specimen(kind, **way)) for way in ways})


def _exit_codes() -> Iterator[tuple[str, ...]]:
    of: dict[int, list[str]] = {}
    for kind in error_classes():
        for code in exits(kind):
            of.setdefault(code, []).append(f"`{kind.code}`")
    for code, meaning in EXIT_CODES.items():
        names = of.get(code, [])
        yield str(code), meaning, ", ".join(names) if code != 1 else "every other code"
