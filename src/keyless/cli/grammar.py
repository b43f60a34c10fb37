"""What the command line understands, as data: every verb with its options, out of the help and the parsers themselves.

Completion is made of it, and the record of what is promised. Verbs whose packages are not installed have no options
here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Final

from keyless.cli.main import VERBS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

FILES: Final = ("DIR", "FILE", "PATH")  # what a value is called in the help when it is a place in the file system
_HELP_LINE: Final = re.compile(r"  (--[a-z][a-z-]*)(?:[ =]([^ ]+))?(?: {2,}(.+))?$")
_CHOICES: Final = re.compile(r"(--[a-z-]+) ([a-z-]+(?:\|[a-z-]+)+)")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a command, by its long name; `value` is what the help calls its value, empty for a flag."""

    name: str
    value: str = ""
    choices: tuple[str, ...] = ()
    summary: str = ""

    @property
    def wants_file(self) -> bool:
        """Tell whether its value is a place in the file system."""
        return self.value in FILES


@dataclass(frozen=True, slots=True)
class Command:
    """A verb, or a verb of a verb.

    Args:
        words: How it is called, without the program's name.
        summary: One line for a list.
        options: Its own options, in the order of its help.
        below: The verbs below it, or the words that its argument may be.
    """

    words: tuple[str, ...]
    summary: str
    options: tuple[Option, ...] = ()
    below: tuple[str, ...] = field(default=())


def commands() -> list[Command]:
    """Return every command there is, each group before what is below it."""
    found: list[Command] = []
    for verb, (module, summary) in VERBS.items():
        try:
            found += _commands(verb, summary, module)
        except ModuleNotFoundError as error:  # a client alone has no service
            if (error.name or "keyless").startswith("keyless"):
                raise
            found.append(Command((verb,), summary))
    return found


def _commands(verb: str, summary: str, name: str) -> Iterator[Command]:
    module = import_module(name)
    text = getattr(module, "HELP", None)
    if text is None:
        yield from _of_parser((verb,), summary, module._parser())
    else:
        yield Command((verb,), summary, tuple(options_of(text)), _words_of(text))


def options_of(text: str) -> list[Option]:
    """Return the options that a verb's help describes, in its order, each once."""
    usage = text.partition("\n\n")[0]
    choices: dict[str, tuple[str, ...]] = {}
    for name, values in _CHOICES.findall(usage):
        choices.setdefault(name, tuple(values.split("|")))
    found: dict[str, Option] = {}
    for line in text.splitlines():
        match = _HELP_LINE.match(line)
        if match and match[1] not in found:
            found[match[1]] = Option(match[1], match[2] or "", choices.get(match[1], ()), match[3] or "")
    return [*found.values(), Option("--help", summary="show this help")]


def _words_of(text: str) -> tuple[str, ...]:
    """Return what the one argument of a verb may be, where its usage says it: `bash|zsh|fish`."""
    usage = text.partition("\n\n")[0].split()
    last = usage[-1] if usage else ""
    return tuple(last.split("|")) if re.fullmatch(r"[a-z]+(\|[a-z]+)+", last) else ()


def _of_parser(words: tuple[str, ...], summary: str, parser: argparse.ArgumentParser) -> Iterator[Command]:
    options: list[Option] = []
    groups: list[argparse.Action] = []
    for action in parser._actions:  # argparse has no public way to look into a parser
        if isinstance(action.choices, dict):
            groups.append(action)
            continue
        name = next((name for name in action.option_strings if name.startswith("--")), "")
        if not name or action.help == "==SUPPRESS==":
            continue
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        choices = tuple(map(str, action.choices or ()))
        options.append(Option(name, value, choices, _one_line(action.help, parser, action)))
    below = tuple(name for group in groups for name in group.choices or ())
    yield Command(words, summary, tuple(options), below)
    for group in groups:
        summaries = {choice.dest: choice.help or "" for choice in getattr(group, "_choices_actions", ())}
        said: dict[int, str] = {}  # an alias has no line of its own
        for name, child in dict(group.choices or {}).items():
            said.setdefault(id(child), summaries.get(name, ""))
            yield from _of_parser((*words, name), said[id(child)], child)


def _one_line(text: str | None, parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return " ".join(parser._get_formatter()._expand_help(action).split()) if text else ""
