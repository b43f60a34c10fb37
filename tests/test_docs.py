"""The documentation says what the code does: every code, every setting, every command."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
from collections.abc import Callable
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest

from keyless import errors
from keyless.cli.main import VERBS
from keyless.demo import cli as demo
from keyless.server.cli import admin, audit, db, keys, serve, trust
from keyless.server.settings import Settings
from tests.support.pages import blocks_of, name_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "admin": admin._parser,
    "audit": audit._parser,
    "db": db._parser,
    "demo": demo._parser,
    "keys": keys._parser,
    "serve": serve._parser,
    "trust": trust._parser,
}


def error_classes() -> list[type[errors.Error]]:
    """Return every class of the error tree."""
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in found if issubclass(value, errors.Error)]


def commands(page: Path) -> list[list[str]]:
    """Return the `keyless` commands of a page's blocks, without what belongs to the shell around them."""
    found = []
    for block in blocks_of(page):
        if block.language == "text":  # printed by a program, which wraps lines
            continue
        text = re.sub(r"\\\n\s*", " ", block.text)
        for line in re.findall(rf"(?:^|[\s$(`'\"!])keyless (?=(?:{'|'.join(VERBS)})\b)(.*)", text, re.MULTILINE):
            lexer = shlex.shlex(line.partition(" #")[0], posix=True, punctuation_chars="();<>|&`")
            lexer.whitespace_split = True
            lexer.quotes = "" if line.count("'") % 2 or line.count('"') % 2 else "'\""
            words = list(takewhile(lambda word: word[0] not in "();<>|&`", lexer))
            found.append([word.strip("'\"") for word in words])
    return found


def options_of(verb: str, words: list[str]) -> set[str]:
    """Return the options that a verb takes, and the verbs below it that are named."""
    if verb not in PARSERS:
        return {"--help", *re.findall(r"^ +(--[a-z-]+)", import_module(VERBS[verb][0]).HELP, re.MULTILINE)}
    parser, known = PARSERS[verb](), set()
    for word in ["", *words]:
        below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction) and word in a.choices]
        parser = below[0].choices[word] if below else parser
        known |= set(parser._option_string_actions)
    return known


@pytest.mark.parametrize("error", sorted(error_classes(), key=str), ids=lambda error: error.code)
def test_every_error_code_is_documented(error: type[errors.Error]) -> None:
    """Codes are a promise, so each has a line in docs/errors.md."""
    assert f"`{error.code}`" in (ROOT / "docs" / "errors.md").read_text()


def test_every_setting_is_documented() -> None:
    """A setting that nobody can read about does not exist."""
    table = (ROOT / "docs" / "settings.md").read_text()

    assert [name for name in Settings.model_fields if f"| `{name}` |" not in table] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_options_of_a_page_exist(page: Path) -> None:
    """In commands, in CI files, in scripts: a verb takes what it is given."""
    for verb, *words in commands(page):
        given = {word.partition("=")[0] for word in takewhile(lambda word: word != "--", words) if word[:2] == "--"}

        assert given <= options_of(verb, words), f"keyless {verb} {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_can_be_parsed(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An example that does not work is worse than none."""
    for verb, *rest in commands(page):
        if verb in PARSERS and not any("…" in word for word in rest):
            try:
                parsed = PARSERS[verb]().parse_args(rest)
            except SystemExit:
                pytest.fail(f"{verb} {rest}: {capsys.readouterr().err}")

            assert isinstance(parsed, argparse.Namespace)


def test_a_mistake_in_a_command_would_be_seen(tmp_path: Path) -> None:
    """The checks above can fail, and see commands of every kind."""
    assert "--flodder" not in options_of("exec", [])
    assert "--pin" in options_of("trust", ["add"])
    assert "--pin" not in options_of("trust", ["list"])
    page = tmp_path / "page.md"
    page.write_text(
        "```yaml\n- run: keyless exec --env A -- hf x > y\n```\n```sh\nX=$(keyless token --for npm) | z\n```\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.pages.ROOT", tmp_path)
        assert commands(page) == [["exec", "--env", "A", "--", "hf", "x"], ["token", "--for", "npm"]]


def test_every_variable_of_ours_that_a_page_names_exists() -> None:
    """A name that nearly is one helps nobody, in a table, in a command or in prose."""
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    known = {f"KEYLESS_{name.upper()}" for name in Settings.model_fields} | set(re.findall(r"KEYLESS_[A-Z_]+", source))
    told = {
        name
        for page in PAGES
        for name in re.findall(r"\bKEYLESS_[A-Z_]+\b", page.read_text())
        if not name.endswith("_") and "__" not in name
    }
    unknown = told - known - {"KEYLESS_TIMOUT"}  # which docs/doctor.md shows as a slip of the pen

    assert {name for name in unknown if not name.startswith("KEYLESS_TEST_")} == set()


def test_the_readme_names_the_two_commands() -> None:
    """A newcomer needs `make demo` and `make test`, and nothing else."""
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= targets
    assert "$ make demo" in readme
    assert "$ make test" in readme
    assert set(re.findall(r"make ([a-z-]+)", readme)) <= targets
