"""Read a verb's options. A job pays for every import, and argparse costs more than what these few verbs need."""

from __future__ import annotations

from keyless.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class UsageError(ConfigurationError):
    """The command line cannot be understood."""

    code = "usage"


class HelpRequested(Exception):
    """`--help` was given."""


class Options:
    """The options of one call.

    Args:
        values: Each option that takes a value, with all values it was given, in order.
        flags: The options without a value that were given.
        command: What came after `--`, or `None` where there was no `--`.
    """

    __slots__ = ("command", "flags", "values")

    def __init__(self, values: dict[str, list[str]], flags: set[str], command: list[str] | None) -> None:
        self.values = values
        self.flags = flags
        self.command = command

    def one(self, name: str) -> str | None:
        """Return the value of an option that may be given once.

        Raises:
            UsageError: It was given more than once, or empty.
        """
        found = self.values.get(name, [])
        if len(found) > 1:
            raise UsageError(f"{name} was given {len(found)} times")
        if found and not found[0].strip():
            raise UsageError(f"{name} is empty")
        return found[0] if found else None


def parse_options(
    verb: str,
    argv: Sequence[str],
    *,
    valued: Collection[str] = (),
    flags: Collection[str] = (),
    takes_command: bool = False,
) -> Options:
    """Read `--name value`, `--name=value`, `--flag` and, where the verb takes one, `-- command …`.

    Raises:
        UsageError: An unknown option, a missing value, or an argument where none is taken.
        HelpRequested: `-h` or `--help` was given.
    """
    values: dict[str, list[str]] = {}
    given: set[str] = set()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--" and takes_command:
            return Options(values, given, rest)
        if word in {"-h", "--help"}:
            raise HelpRequested
        name, has_value, value = word.partition("=")
        if name in valued:
            if not has_value:
                if not rest:
                    raise UsageError(f"{name} needs a value", hint=_see_help(verb))
                value = rest.pop(0)
            values.setdefault(name, []).append(value)
        elif name in flags:
            if has_value:
                raise UsageError(f"{name} takes no value", hint=_see_help(verb))
            given.add(name)
        else:
            raise _unknown(verb, word if not word.startswith("-") else name, [*valued, *flags], takes_command)
    return Options(values, given, None)


def _unknown(verb: str, word: str, known: Sequence[str], takes_command: bool) -> UsageError:
    if not word.startswith("-"):
        hint = f"Put -- before the command: keyless {verb} … -- COMMAND" if takes_command else _see_help(verb)
        # The word may be a secret given in the wrong place, so it is not repeated.
        return UsageError(f"keyless {verb} got an argument where it expects an option", hint=hint)
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return UsageError(
        f"keyless {verb} has no option {word[:40]}", hint=f"Did you mean {close[0]}?" if close else _see_help(verb)
    )


def _see_help(verb: str) -> str:
    return f"See: keyless {verb} --help"
