"""What the command line understands, read from its help and its parsers."""

from __future__ import annotations

import pytest

from keyless.cli import grammar
from keyless.cli.main import VERBS
from keyless.cli.options import UsageError

COMMANDS = {" ".join(command.words): command for command in grammar.commands()}


def test_options_are_read_from_a_help() -> None:
    """Each once, in its order, with what its value is called and may be."""
    text = "usage: x --not-here [--b one|two]\n\n  --a X   one\n  --b=Y  two\n  --a Z   again\n  --c  three\n"

    assert grammar.options_of(text) == [
        grammar.Option("--a", "X", (), "one"),
        grammar.Option("--b", "Y", ("one", "two"), "two"),
        grammar.Option("--c", "", (), "three"),
        grammar.Option("--help", summary="show this help"),
    ]


def test_every_verb_is_there_and_what_is_below_it() -> None:
    """D3: one dispatcher; a group comes before its members."""
    words = list(COMMANDS)

    assert set(VERBS) <= set(words)
    for name, command in COMMANDS.items():
        for below in command.below:
            if name not in {"completion", "git-credential"}:
                assert words.index(f"{name} {below}") > words.index(name)


@pytest.mark.parametrize("verb", [verb for verb, (module, _) in VERBS.items() if module.startswith("keyless.cli.")])
def test_the_help_of_a_jobs_verb_names_every_option_it_takes(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help is written by hand; nothing that the verb takes is missing in it, and nothing else is in it."""
    from importlib import import_module

    module = import_module(VERBS[verb][0])
    taken: set[str] = set()

    def listen(
        verb: str, argv: object, *, valued: tuple[str, ...] = (), flags: tuple[str, ...] = (), **_: object
    ) -> None:
        taken.update((*valued, *flags))
        raise UsageError("stop here")

    monkeypatch.setattr("keyless.cli.options.parse_options", listen)  # some import it when they run
    monkeypatch.setattr(module, "parse_options", listen, raising=False)
    with pytest.raises(UsageError, match="stop here"):
        module.run(["bash"] if COMMANDS[verb].below else [])

    assert taken == {option.name for option in COMMANDS[verb].options} - {"--help"}


def test_a_client_alone_has_verbs_without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """D1: nothing of the service is there to ask."""
    from importlib import import_module

    def missing(name: str) -> object:
        if name.startswith("keyless.server"):
            raise ModuleNotFoundError("no sqlalchemy", name="sqlalchemy")
        return import_module(name)

    monkeypatch.setattr("keyless.cli.grammar.import_module", missing)
    found = {" ".join(command.words): command for command in grammar.commands()}

    assert found["serve"].options == ()
    assert found["token"].options == COMMANDS["token"].options
