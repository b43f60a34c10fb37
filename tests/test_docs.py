"""The documentation says what the code does: every code, every setting, every command."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
from pathlib import Path

import pytest

from keyless import errors
from keyless.cli.main import VERBS
from keyless.server.cli import admin, audit, keys, serve, trust
from keyless.server.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PARSERS = {
    "admin": admin._parser,
    "audit": audit._parser,
    "keys": keys._parser,
    "serve": serve._parser,
    "trust": trust._parser,
}


def error_classes() -> list[type[errors.Error]]:
    """Return every class of the error tree."""
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in found if issubclass(value, errors.Error)]


def commands(page: Path) -> list[list[str]]:
    """Return the `keyless` commands of a page's console blocks, continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines() if line.strip().startswith("$ keyless ")]
    return [shlex.split(line, comments=True)[1:] for line in lines if "…" not in line]


@pytest.mark.parametrize("error", sorted(error_classes(), key=str), ids=lambda error: error.code)
def test_every_error_code_is_documented(error: type[errors.Error]) -> None:
    """Codes are a promise, so each has a line in docs/errors.md."""
    assert f"`{error.code}`" in (ROOT / "docs" / "errors.md").read_text()


def test_every_setting_is_documented() -> None:
    """A setting that nobody can read about does not exist."""
    table = (ROOT / "docs" / "settings.md").read_text()

    assert [name for name in Settings.model_fields if f"| `{name}` |" not in table] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_can_be_parsed(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An example that does not work is worse than none."""
    for command in commands(page):
        verb, *rest = command

        assert verb in VERBS, command
        if verb in PARSERS:
            try:
                parsed = PARSERS[verb]().parse_args(rest)
            except SystemExit:
                pytest.fail(f"{command}: {capsys.readouterr().err}")

            assert isinstance(parsed, argparse.Namespace)


def test_the_readme_names_the_two_commands() -> None:
    """A newcomer needs `make demo` and `make test`, and nothing else."""
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= targets
    assert "$ make demo" in readme
    assert "$ make test" in readme
    assert set(re.findall(r"make ([a-z-]+)", readme)) <= targets
