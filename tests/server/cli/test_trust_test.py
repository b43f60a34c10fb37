"""`keyless trust test FILE`: a table of jobs against a store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from keyless.server.cli import trust
from keyless.testing import github_claims

DOCS = Path(__file__).resolve().parents[3] / "docs" / "explain.md"
TIGHT = (
    *("add", "acme/model", "--provider", "github", "--repository", "acme/widgets", "--workflow", "train.yml"),
    *("--branch", "main", "--repository-id", "456789", "--repository-owner-id", "123456"),
)
TABLE: dict[str, Any] = {
    "job": [
        {
            "name": "a push to main",
            "provider": "github",
            "claims": github_claims(),
            "expect": {"acme/model": "accepted", "datasets/acme/data": "refused"},
        },
        {
            "name": "a push to dev",
            "provider": "github",
            "claims": github_claims(ref="refs/heads/dev"),
            "expect": {"acme/model": {"verdict": "refused", "differs": ["branch"]}},
        },
    ]
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Write a table, test it against a store with one publisher, and return exit status and output."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.setenv("KEYLESS_DATABASE", str(tmp_path / "keyless.db"))

    def call(table: object, *argv: str, publisher: tuple[str, ...] = TIGHT, name: str = "table.json") -> Any:
        assert trust.run(list(publisher)) == 0
        path = tmp_path / name
        path.write_text(table if isinstance(table, str) else json.dumps(table))
        capsys.readouterr()
        status = trust.run(["test", str(path), *argv])
        return status, capsys.readouterr().out

    return call


def test_expectations_that_are_met(run: Any) -> None:
    """D11: exit 0."""
    status, out = run(TABLE)

    assert status == 0
    assert out.splitlines() == [
        "ok      a push to main at acme/model: accepted",
        "ok      a push to main at datasets/acme/data: refused",
        "ok      a push to dev at acme/model: refused",
        "3 of 3 expectations are met",
    ]


def test_a_publisher_that_was_loosened_is_found(run: Any) -> None:
    """T72: exit 1, and the difference in words."""
    without_branch = tuple(word for word in TIGHT if word not in {"--branch", "main"})
    status, out = run(TABLE, publisher=without_branch)

    assert status == 1
    assert "FAILED  a push to dev at acme/model\n          accepted instead of refused: publisher pub_" in out
    assert out.endswith("2 of 3 expectations are met\n")


def test_a_publisher_that_was_tightened_too_far_is_found(run: Any) -> None:
    """D12: with what was expected and received."""
    status, out = run(TABLE, publisher=(*TIGHT, "--environment", "prod"))

    assert status == 1
    assert "refused instead of accepted: no publisher of the resource accepts it\n" in out
    assert ": environment is absent, expected 'prod'\n" in out
    assert "environment differs as well\n" in out


def test_json_for_programs(run: Any) -> None:
    """The same, for another tool."""
    status, out = run(TABLE, "--json", publisher=(*TIGHT, "--environment", "prod"))
    found = json.loads(out)

    assert (status, found["met"]) == (1, False)
    assert [result["met"] for result in found["results"]] == [False, True, False]


def test_the_example_of_the_docs_works(run: Any) -> None:
    """An example that does not work is worse than none."""
    found = re.search(r"```toml file=trust-test.toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    text = found[1]
    status, out = run(text, name="trust-test.toml")

    assert (status, out.count("ok ")) == (0, 4), out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("table.toml", "job = [", id="no TOML"),
        pytest.param("table.json", "{", id="no JSON"),
        pytest.param("table.toml", "", id="empty"),
        pytest.param(
            "table.json",
            json.dumps({"job": [{**TABLE["job"][0], "provider": "nobody"}]}),
            id="a provider that is none",
        ),
        pytest.param("table.toml", "x = '" + "a" * 1_100_000 + "'", id="huge"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_usage_error(run: Any, name: str, text: str) -> None:
    """Exit 2."""
    assert run(text, name=name)[0] == 2
