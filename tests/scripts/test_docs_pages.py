"""The pages made from the source: they are what it says today, and leave nothing of it out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from keyless.cli.main import VERBS
from keyless.providers.order import ORDER
from keyless.server.settings import Settings
from scripts.docs import errors
from scripts.docs.__main__ import DOCS, outdated, pages
from scripts.docs.api import DOCUMENT


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Every generated page."""
    return pages()


def test_the_committed_pages_are_what_the_source_says(made: dict[str, str]) -> None:
    """Whoever changes an option, a setting, a claim or a hint changes the page with it."""
    assert outdated(made) == []


def test_a_page_that_is_not_up_to_date_is_seen(made: dict[str, str]) -> None:
    """The check above can fail: for another text, and for a page that nobody makes any more."""
    name = "reference/cli.md"

    assert outdated({**made, name: f"{made[name]}x"}) == [name]
    assert outdated({key: text for key, text in made.items() if key != name}) == [name]


def test_every_verb_setting_and_call_is_there(made: dict[str, str]) -> None:
    """A reference that leaves something out is none."""
    assert [verb for verb in VERBS if f"\n## keyless {verb}\n" not in made["reference/cli.md"]] == []
    assert [name for name in Settings.model_fields if f"| `{name}` |" not in made["reference/settings.md"]] == []
    calls = [
        f"| `{method.upper()} {path}` |"
        for path, methods in json.loads(DOCUMENT.read_text())["paths"].items()
        for method in methods
    ]
    assert [call for call in calls if call not in made["reference/http-api.md"]] == []


def test_every_platform_has_a_page(made: dict[str, str]) -> None:
    """S11: each CI platform and each machine, with its file or variable, its publisher and its mistakes."""
    names = {entry.NAME for entry in ORDER if entry.kind != "source"}

    assert len(names) == 20
    assert {Path(page).stem for page in made if page.startswith("how-to/ci/")} == {*names, "index"}
    for name in names:
        page = made[f"how-to/ci/{name}.md"]
        assert "keyless trust add acme/awesome-model" in page
        assert f"]({name}.md)" in made["how-to/ci/index.md"]
        if name != "google-cloud":  # nothing of it can be got wrong without a machine to ask
            assert re.search(r"```text\nfailed: \w+: .+\nfix: ", page), name


def test_every_error_has_its_reason_and_exit_code(made: dict[str, str]) -> None:
    """D9: codes are a promise."""
    page = made["reference/reasons.md"]

    assert [kind.code for kind in errors.error_classes() if f"| `{kind.code}` | `{kind.__name__}` |" not in page] == []
    assert {code for kind in errors.error_classes() for code in errors.exits(kind)} <= errors.EXIT_CODES.keys()


def test_every_page_can_be_found_in_the_side_bar() -> None:
    """No page is named that is not there, and what everybody begins with is named."""
    conf = (DOCS / "conf.py").read_text()
    names = re.findall(r'"((?:[a-z0-9-]+/)*[a-z0-9-]+)"', conf[conf.index("PAGES") : conf.index("CHAPTERS")])

    assert [name for name in names if not (DOCS / f"{name}.md").exists()] == []
    assert {"quickstart", "how-to/ci/index", "reference/cli", "threat-model"} <= set(names)
