"""The reference of the command line, out of the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

from keyless.cli.main import VERBS
from scripts.docs.text import made_by, prose, sentence, table

INTRODUCTION = (
    "Every verb with every option, as the parsers have them. `keyless VERB --help` says the same on a terminal. Exit "
    "codes and error codes are in [errors.md](../errors.md); the variables that stand in for options in "
    "[settings.md](../settings.md)."
)


def page() -> str:
    """Return the whole page."""
    lines = ["# The command line", "", *made_by("cli", "the parsers"), *prose(INTRODUCTION)]
    lines += table(("verb", ""), ((f"[`keyless {verb}`](#keyless-{verb})", text) for verb, (_, text) in VERBS.items()))
    for verb, (module, text) in VERBS.items():
        lines += [f"## keyless {verb}", "", *_verb(module, text)]
    return "\n".join(lines).rstrip() + "\n"


def _verb(name: str, text: str) -> Iterator[str]:
    module = import_module(name)
    written = getattr(module, "HELP", None)
    if written is not None:  # what runs in a job has no parser of argparse, and its help is written by hand
        yield from ("```text", written.strip(), "```", "")
        return
    parser = module._parser()
    yield f"{text[:1].upper()}{text[1:]}."
    yield ""
    yield from _options(parser)
    yield from _below(parser)


def _below(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                if name not in helps:  # another name of one that is there
                    continue
                words = helps[name]
                yield from (f"### {below.prog}", "", f"{words[:1].upper()}{words[1:]}.", "")
                yield from _options(below)
                yield from _below(below)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Return the table of a parser's own arguments."""
    rows = []
    required = {
        action for group in parser._mutually_exclusive_groups if group.required for action in group._group_actions
    }
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        notes = [sentence(_expand(action, parser))]
        if action.choices is not None and (action.metavar or not action.option_strings):
            notes.append(f"One of {', '.join(map(str, action.choices))}.")
        if action.option_strings and action.required:
            notes.append("Needed.")
        if action in required:
            notes.append("One of its group is needed.")
        rows.append((f"`{_spelling(action)}`", " ".join(note for note in notes if note)))
    return table(("argument", ""), rows)


def _expand(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _spelling(action: argparse.Action) -> str:
    if action.nargs == 0:
        value = ""
    elif action.metavar is not None:
        value = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    elif action.choices is not None:
        value = "|".join(map(str, action.choices))
    else:
        value = action.dest.upper()
    many = {"*": f"[{value} …]", "+": f"{value} …", "?": f"[{value}]"}
    value = many.get(str(action.nargs), value)
    if not action.option_strings:
        return value
    name = ", ".join(action.option_strings)
    return f"{name} {value}" if value else name
