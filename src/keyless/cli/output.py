"""What the command line writes, and the exit code it ends with.

Data goes to stdout and everything else to stderr, so that `$(keyless token)` holds a token or nothing.
"""

from __future__ import annotations

import os
import sys

from keyless.errors import (
    AccessRefusedError,
    AudienceError,
    ConfigurationError,
    Error,
    ExchangeRefusedError,
    ExchangeUnavailableError,
    IdTokenPermissionError,
    MintError,
    MintUnavailableError,
    ProviderNotFoundError,
    RateLimitedError,
    TransportError,
    UnavailableError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

EXIT_OK: Final = 0
EXIT_OTHER: Final = 1  # includes an answer that cannot be understood
EXIT_USAGE: Final = 2  # usage or configuration
EXIT_NO_PROVIDER: Final = 3  # no CI platform, or it may not mint
EXIT_REFUSED: Final = 4  # the exchange answered 4xx, but 429
EXIT_OUTAGE: Final = 5  # worth another try later
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

_RED, _DIM, _RESET = "\033[31m", "\033[2m", "\033[0m"


def exit_code(error: Error) -> int:
    """Return the documented exit code of an error."""
    match error:
        case ConfigurationError() | AudienceError():
            return EXIT_USAGE
        case ProviderNotFoundError() | IdTokenPermissionError():
            return EXIT_NO_PROVIDER
        case ExchangeRefusedError() | AccessRefusedError():
            return EXIT_REFUSED
        case ExchangeUnavailableError() | MintUnavailableError() | UnavailableError() | RateLimitedError():
            return EXIT_OUTAGE
        case TransportError():
            return EXIT_OUTAGE if error.retryable else EXIT_OTHER
        case MintError():
            # The platform says this job may not mint: the same as a missing permission.
            return EXIT_NO_PROVIDER if error.status in {401, 403} else EXIT_OTHER
        case _:
            return EXIT_OTHER


def report(error: Error) -> int:
    """Write an error once on stderr - `keyless: code: message`, the hint indented - and return its exit code.

    Messages hold what others say, and what a claim holds: whatever would act on a terminal is shown as an escape.
    """
    from keyless.cli.terminal import has_colour, visible, visible_lines

    colour = has_colour(sys.stderr)
    code = f"{_RED}{error.code}{_RESET}" if colour else error.code
    lines = [f"keyless: {code}: {visible(error.message)}"]
    if error.hint:
        lines += [
            f"{_DIM}  {line}{_RESET}" if colour else f"  {line}" for line in visible_lines(error.hint).splitlines()
        ]
    note("\n".join(lines))
    return exit_code(error)


def note(text: str) -> None:
    """Write a line for people to stderr; a closed stderr is nobody's problem."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def data(text: str) -> None:
    """Write data to stdout and make sure that it got there."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def help_page(text: str) -> None:
    """Write a verb's help to stdout, in lines that fit the terminal."""
    from keyless.cli.terminal import columns, page

    data(page(text, columns(sys.stdout)))


def json_data(value: object) -> None:
    """Write a value as indented JSON to stdout."""
    import json

    data(json.dumps(value, indent=2))


def mask(secret: str) -> None:
    """Ask the platform to hide a value in its log, where it has a way to ask (D24)."""
    if os.environ.get("GITHUB_ACTIONS") == "true":  # Forgejo and Gitea runners understand it as well
        note(f"::add-mask::{secret}")
