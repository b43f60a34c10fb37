"""An id token that a command prints: for every platform that has a program for it and no file of its own here.

`KEYLESS_ID_TOKEN_COMMAND` is split into words as a shell would and run without one. `{audience}` in a word becomes the
audience, and the command finds it in `KEYLESS_ID_TOKEN_AUDIENCE` too:

    KEYLESS_ID_TOKEN_COMMAND='nsc auth issue-id-token --audience {audience}'
"""

from __future__ import annotations

from keyless.errors import MintError, MintUnavailableError, OIDCConfigurationError
from keyless.http.fork import import_lock
from keyless.providers.base import CanMint, CannotMint
from keyless.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.http.deadline import Deadline

NAME: Final = "command"
TITLE: Final = "a command"
SETUP: Final = "KEYLESS_ID_TOKEN_COMMAND='<program> --audience {audience}'"

VARIABLES: Final = ("KEYLESS_ID_TOKEN_COMMAND",)
AUDIENCE_VARIABLE: Final = "KEYLESS_ID_TOKEN_AUDIENCE"
TRY_AGAIN_STATUS: Final = 75  # EX_TEMPFAIL of BSD's sysexits.h: "try again later"
_SOURCE: Final = "the command of KEYLESS_ID_TOKEN_COMMAND"
_PRINT_HINT: Final = "It must print the id token, alone and on one line, on standard output."


def detect(environ: Mapping[str, str], audience: str) -> CanMint | CannotMint | None:  # noqa: ARG001  # one shape for all
    """Say whether `KEYLESS_ID_TOKEN_COMMAND` is set. It is run when it is needed."""
    text = environ.get(VARIABLES[0], "").strip()
    if not text:
        return None
    with import_lock:
        import shlex
    try:
        words = tuple(shlex.split(text))
    except ValueError:
        words = ()
    if not words or not words[0]:
        error = OIDCConfigurationError(
            "KEYLESS_ID_TOKEN_COMMAND cannot be split into words: a quote is not closed, or there is no program",
            hint="Write it as in a shell: program 'argument with blanks' {audience}. For more than that, use a script.",
        )
        return CannotMint(NAME, error)
    return CommandToken(text, words)


class CommandToken(CanMint):
    """A command that prints an id token; every mint runs it.

    Args:
        text: The variable's value.
        words: The program and its arguments.
    """

    __slots__ = ("_words",)

    def __init__(self, text: str, words: tuple[str, ...]) -> None:
        super().__init__(NAME, identity=Secret(text), mints_anew=True, variables=VARIABLES)
        self._words = words

    def mint(self, audience: str, *, deadline: Deadline, environ: Mapping[str, str]) -> Secret:
        """Run the command and return what it prints (see `CanMint.mint`)."""
        with import_lock:
            from keyless.providers.program import read_printed_token, run_program
            from keyless.providers.unverified import check_audience

        finished = run_program(
            [self._words[0], *(word.replace("{audience}", audience) for word in self._words[1:])],
            source=_SOURCE,
            environ={**environ, AUDIENCE_VARIABLE: audience},
            deadline=deadline,
            missing_hint="Install it in this job, or write its whole path. There is no shell: no pipe, no $VARIABLE.",
            late_hint="It may be waiting for an answer: it gets no input and must not ask.",
        )
        if finished.status != 0:
            kind = MintUnavailableError if finished.status == TRY_AGAIN_STATUS else MintError
            raise kind(
                f"{_SOURCE} failed with exit status {finished.status}",
                hint="What it wrote is not shown, because it may hold a secret. Run it by hand to see.",
            )
        token = read_printed_token(finished, source=_SOURCE, hint=_PRINT_HINT)
        hint = f"Let the command request exactly this audience ({{audience}} in its words stands for it): {audience}"
        check_audience(token, audience, source=_SOURCE, hint=hint)
        return Secret(token)
