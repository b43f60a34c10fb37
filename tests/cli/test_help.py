"""Every verb's help as a page: what it does, how it is called, its options, examples, exit codes; and `--json`."""

from __future__ import annotations

import re
import shlex
from importlib import import_module

import pytest

from keyless.cli import grammar
from keyless.cli.grammar import Command
from keyless.cli.main import VERBS, main
from keyless.server.cli.examples import EXAMPLES, examples_of

COMMANDS = grammar.commands()
LEAVES = [command for command in COMMANDS if not any(other.words[:-1] == command.words for other in COMMANDS)]
WITHOUT_JSON = {
    "exec": "its output is the command's",
    "git-credential": "it speaks git's protocol",
}


def name(command: Command) -> str:
    return " ".join(command.words)


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    """Return a page."""
    try:
        code = main([*words, "--help"])
    except SystemExit as done:  # argparse ends by itself
        code = int(done.code or 0)
    assert code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_help_reads_like_a_page(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What, how, each option with a line of its own, an example that one can copy, and how it ends."""
    monkeypatch.setenv("COLUMNS", "200")
    text = help_of(command.words, capsys)
    paragraphs = [part for part in text.split("\n\n") if part.strip()]
    first = name(command).replace("trust enable", "trust resume").replace("trust disable", "trust pause")

    assert text.startswith(f"usage: keyless {first}")
    assert re.match(r"[A-Z].*[.:]$", paragraphs[1].strip(), re.DOTALL), paragraphs[1]
    assert [option.name for option in command.options if option.name not in f"{text} --help"] == []
    assert re.search(rf"^examples.*:\n(  .+\n)*?  .*keyless {first}", text, re.MULTILINE)
    assert len(re.findall(r"^exit codes: 0 |^exit codes: those of COMMAND", text, re.MULTILINE)) == 1
    assert "..." not in text.partition("\n\n")[2], "an ellipsis is one character"


@pytest.mark.parametrize("command", LEAVES, ids=name)
def test_every_option_says_what_it_is_for(command: Command) -> None:
    """Not only what it is called; `--help` explains itself."""
    assert [option.name for option in command.options if not option.summary] == []


@pytest.mark.parametrize("command", LEAVES, ids=name)
def test_every_verb_prints_json(command: Command) -> None:
    """For programs; what has none says why."""
    has = "--json" in {option.name for option in command.options}

    assert has is (name(command) not in WITHOUT_JSON)


@pytest.mark.parametrize("line", EXAMPLES.splitlines())
def test_an_example_can_be_parsed(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One that does not work is worse than none."""
    words = shlex.split(line[line.index("keyless ") :], comments=True)[1:]
    parser = import_module(VERBS[words[0]][0])._parser()
    try:
        parser.parse_args(words[1:])
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_every_verb_of_the_service_has_an_example_of_its_own() -> None:
    """And every example belongs to a verb."""
    served = [command for command in LEAVES if not VERBS[command.words[0]][0].startswith("keyless.cli.")]

    assert [name(command) for command in served if not examples_of(f"keyless {name(command)}")] == []
    shown = {line for command in served for line in examples_of(f"keyless {name(command)}")}
    assert set(EXAMPLES.splitlines()) == shown


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["trust", "ad"], "'ad' is not a verb of keyless trust", "Did you mean: keyless trust add?"),
        (["trust", "issuer", "zzz"], "'zzz' is not a verb of keyless trust issuer", "See: keyless trust issuer --help"),
        (["trust", "list", "--jsn"], "keyless trust list has no option --jsn", "Did you mean --json?"),
        (["audit", "list", "--lim", "5"], "keyless audit list has no option --lim", "Did you mean --limit?"),
        (["db", "check", "surplus"], "keyless db check: there is an argument too many", "See: keyless db check --help"),
        (
            ["trust", "add"],
            "keyless trust add: the following arguments are required: RESOURCE",
            "See: keyless trust add",
        ),
        (["serve", "--json"], "keyless serve: --json goes with --check", "See: keyless serve --help"),
    ],
)
def test_a_mistake_is_answered_as_everywhere(
    words: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`keyless: usage: …`, what to do indented below, exit 2, nothing on stdout."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    printed = capsys.readouterr()

    assert stopped.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith(f"keyless: usage: {message}")
    assert f"\n  {hint}" in printed.err
    assert "surplus" not in printed.err


@pytest.mark.parametrize("columns", ["60", "90", "160"])
def test_a_page_fits_the_terminal(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLUMNS counts; only examples, which are copied, and headings may be longer."""
    monkeypatch.setenv("COLUMNS", columns)
    text = help_of(("trust", "add"), capsys)
    kept = ("  keyless ", "usage:", "environment:")
    lines = [line for line in text.splitlines() if not line.startswith(kept) and not line.endswith(":")]

    assert max(map(len, lines)) <= int(columns)


def test_completion_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """What every verb takes, as JSON."""
    import json

    assert main(["completion", "--json"]) == 0
    found = {" ".join(command["words"]): command for command in json.loads(capsys.readouterr().out)}

    assert found.keys() == {name(command) for command in COMMANDS}
    assert "--resource" in {option["name"] for option in found["token"]["options"]}
