"""The parser of the service's verbs: its help reads like a page, its errors like all the others.

A page says what the verb does, how it is called, its options in groups, examples, which variables count, and what its
exit codes mean. A verb's description is the line that its group shows for it, and its examples are in `examples`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NoReturn

from keyless.cli.options import UsageError
from keyless.cli.output import report
from keyless.server.cli.examples import examples_of

if TYPE_CHECKING:
    _SubParsers = argparse._SubParsersAction["PageParser"]
else:
    _SubParsers = argparse._SubParsersAction

_FEW: Final = 4  # options that a usage line names; more make it unreadable
_USUAL: Final = "0 done, 2 usage or it cannot be so, 5 an outage (worth another try), 1 anything else"
_REMOTE: Final = (
    "0 done, 2 usage or it cannot be so, 4 the login is not good, or not for that, 5 an outage (worth another try), "
    "1 anything else"
)
EXIT_CODES: Final = {
    "keyless serve": "0 stopped by a signal, or --check passed; 2 a setting cannot work; 1 anything else",
    "keyless trust explain": "0 accepted, 4 refused, or the login is not good; otherwise as usual: 2, 5, 1",
    "keyless trust lint": "0 no errors (with --strict: nor warnings), 1 there are some; otherwise as usual: 2, 4, 5",
    "keyless trust test": "0 every expectation is met, 1 one is not; otherwise as usual: 2, 5",
    "keyless trust plan": "0 shown, 1 with --exit-code when something would change; otherwise as usual: 2, 4, 5",
    "keyless trust apply": "0 done, 1 the store is not what --expect says; otherwise as usual: 2, 4, 5",
    "keyless audit show": "0 shown, 1 nothing was found; otherwise as usual: 2, 4, 5",
    "keyless audit verify": "0 the audit is whole, 1 it is not; otherwise as usual: 2, 4, 5",
    "keyless db check": "0 nothing is wrong, 1 something is; otherwise as usual: 2, 5",
    "keyless demo": "0 every step did what it should, 1 one did not, 2 usage or no hf program, 130 interrupted",
}
"""What the exit codes of a verb mean, where they are not the usual ones."""


class PageParser(argparse.ArgumentParser):
    """Parse a verb's arguments; say what is wrong, and everything else, as the client's verbs do."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        # A name that is cut short would mean something else as soon as there is a further option.
        super().__init__(allow_abbrev=False, **options)

    def add_subparsers(self, **options: Any) -> Any:
        """Add the verbs below this one; each is described on its own page as on ours."""
        return super().add_subparsers(
            **{"action": _Verbs, "title": "verbs", "metavar": "VERB", "required": True, **options}
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, _Verbs) and value not in action.choices:
            self._refuse_verb(str(value), list(action.choices))
        super()._check_value(action, value)

    def format_usage(self) -> str:
        """Return the usage line; one with many options does not name those that may be left out."""
        self.usage = self.usage or self._usage()
        return super().format_usage()

    def format_help(self) -> str:
        """Return the page."""
        self.usage = self.usage or self._usage()
        self.description = _filled(self.description or "")
        # A group's own text has examples of all its verbs, and its exit codes.
        self.epilog = self.epilog or self._ending()
        return super().format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse what is known; whatever else there is was meant for this verb, and is an error of it."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and not any(isinstance(action, _Verbs) for action in self._actions):
            self._refuse_unknown(unknown[0])
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in the one form that errors have, and end with 2."""
        self._refuse(f"{self.prog}: {message}", f"See: {self.prog} --help")

    def _refuse_verb(self, word: str, verbs: Sequence[str]) -> NoReturn:
        close = get_close_matches(word, verbs, n=1)
        meant = f"Did you mean: {self.prog} {close[0]}?" if close else f"See: {self.prog} --help"
        self._refuse(f"{word[:40]!r} is not a verb of {self.prog}", meant)

    def _refuse_unknown(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error("there is an argument too many")  # not repeated: it may be a secret in the wrong place
        name = word.partition("=")[0]
        known = [name for action in self._actions for name in action.option_strings]
        close = get_close_matches(name, known, n=1)
        meant = f"Did you mean {close[0]}?" if close else f"See: {self.prog} --help"
        self._refuse(f"{self.prog} has no option {name[:40]}", meant)

    def _refuse(self, message: str, hint: str) -> NoReturn:
        sys.exit(report(UsageError(message, hint=hint)))

    def _usage(self) -> str | None:
        options = [action for action in self._actions if action.option_strings and action.dest != "help"]
        if len(options) <= _FEW:
            return None
        together = {action for group in self._mutually_exclusive_groups for action in group._group_actions}
        parts = [_spelling(action) for action in options if action.required]
        for group in self._mutually_exclusive_groups:
            choice = " | ".join(_spelling(action) for action in group._group_actions)
            parts += [f"({choice})"] if group.required else []
        parts += ["[options]"] if any(action not in together for action in options) else []
        own = [action for action in self._actions if not action.option_strings and action not in together]
        parts += map(_positional, own)
        return " ".join(["%(prog)s", *parts])

    def _ending(self) -> str:
        parts = []
        examples = examples_of(self.prog)
        if examples:
            parts += ["examples:", *(f"  {line}" for line in examples), ""]
        known = {action.dest for action in self._actions}
        if "config" in known:
            parts += ["environment: KEYLESS_CONFIG names the settings file; KEYLESS_… each setting (docs/settings.md)"]
        usual = _REMOTE if "api_url" in known else _USUAL
        return "\n".join([*parts, _filled(f"exit codes: {EXIT_CODES.get(self.prog, usual)}")])


class _Verbs(_SubParsers):
    def add_parser(self, name: str, **options: Any) -> PageParser:
        summary = options.get("help") or ""
        options.setdefault("description", f"{summary[:1].upper()}{summary[1:]}.")
        return super().add_parser(name, **options)


def _filled(text: str) -> str:
    """Break a paragraph as argparse breaks the rest; a text of several lines was broken by hand."""
    return text if "\n" in text else textwrap.fill(text, max(shutil.get_terminal_size().columns - 2, 40))


def _spelling(action: argparse.Action) -> str:
    if not action.option_strings:
        return _positional(action)
    name = max(action.option_strings, key=len)
    return name if action.nargs == 0 else f"{name} {_metavar(action)}"


def _positional(action: argparse.Action) -> str:
    name = _metavar(action)
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …"}.get(str(action.nargs), name)


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    choices: Sequence[object] = list(action.choices or ())
    return "|".join(map(str, choices)) if 0 < len(choices) <= _FEW else action.dest.upper()
