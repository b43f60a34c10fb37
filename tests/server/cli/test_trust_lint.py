"""`keyless trust lint`: exit codes, what is printed, and fixes that work."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from keyless.server.cli import trust

IDS = ("--repository-id", "11", "--repository-owner-id", "22")
LOOSE = ("--repository", "acme/train", "--workflow", "release.yml", *IDS)
TIGHT = (*LOOSE, "--branch", "main", "--claim", "ref_protected=true")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.setenv("KEYLESS_DATABASE", str(tmp_path / "keyless.db"))
    return tmp_path / "keyless.db"


@pytest.fixture
def cli(database: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a verb and return its exit status and its lines."""
    del database

    def call(*argv: str) -> tuple[int, str]:
        capsys.readouterr()
        status = trust.run(list(argv))
        return status, capsys.readouterr().out

    return call


def add(cli: Any, *argv: str, resource: str = "acme/model") -> None:
    """Trust a job of acme/train."""
    status, out = cli("add", resource, "--provider", "github", *argv)
    assert status == 0, out


def findings(cli: Any, *argv: str) -> tuple[int, list[dict[str, str]]]:
    """Lint with `--json`."""
    status, out = cli("lint", *argv, "--json")
    return status, json.loads(out)


def test_a_clean_store(cli: Any) -> None:
    """Exit 0."""
    add(cli, *TIGHT)

    assert cli("lint", "--strict") == (0, "1 publishers: 0 errors, 0 warnings, 0 notes\n")
    assert findings(cli) == (0, [])


def test_a_warning_counts_only_when_it_is_asked_to(cli: Any) -> None:
    """M07: exit 0, and 1 with --strict."""
    add(cli, *LOOSE)
    status, out = cli("lint")

    assert status == 0
    assert out.startswith("warning: no-ref: pub_")
    assert "    fix: keyless trust add acme/model --provider github" in out
    assert out.endswith("1 publishers: 0 errors, 1 warnings, 0 notes\n")
    assert cli("lint", "--strict")[0] == 1
    assert cli("lint", "--strict", "--ignore", "no-ref")[0] == 0


def test_an_error_counts_always(cli: Any) -> None:
    """T63: exit 1."""
    add(cli, "--repository", "acme/train", *IDS)
    status, found = findings(cli)

    assert status == 1
    assert [(item["code"], item["severity"], item["resource"]) for item in found] == [
        ("whole-repository", "error", "models/acme/model")
    ]


def test_one_resource_alone(cli: Any) -> None:
    """What is said of another one is left out."""
    add(cli, *LOOSE)
    add(cli, *TIGHT, resource="datasets/acme/data")

    assert findings(cli, "datasets/acme/data") == (0, [])


@pytest.mark.parametrize("argv", [["--ignore", "nonsense"], ["--unused-days", "x"]])
def test_slips_are_usage_errors(cli: Any, argv: list[str]) -> None:
    """Exit 2."""
    with pytest.raises(SystemExit) as caught:
        cli("lint", *argv)
    assert caught.value.code == 2


def test_days_have_to_be_some(cli: Any) -> None:
    """Exit 2."""
    add(cli, *TIGHT)

    assert cli("lint", "--unused-days", "0")[0] == 2


FILLED_IN = {
    "BRANCH": "main",
    "WORKFLOW": "release.yml",
    "TAG": "v*",
    "CLAIM=VALUE": "ref=refs/heads/main",
    "repository_id": "11",
    "REPOSITORY_ID": "11",
    "REPOSITORY_OWNER_ID": "22",
}


@pytest.mark.parametrize(
    ("code", "argv"),
    [
        pytest.param("whole-repository", ("--repository", "acme/train", *IDS), id="neither"),
        pytest.param("no-ref", LOOSE, id="no ref"),
        pytest.param("no-workflow", ("--repository", "acme/train", "--branch", "main", *IDS), id="no workflow"),
        pytest.param("wide-glob", (*LOOSE, "--branch", "*"), id="wide glob"),
        pytest.param("unprotected-ref", (*LOOSE, "--branch", "main"), id="unprotected ref"),
        pytest.param("unprotected-environment", (*LOOSE, "--environment", "prod"), id="unprotected environment"),
        pytest.param("branch-and-tag", (*TIGHT, "--tag", "v*"), id="branch and tag"),
        pytest.param(
            "guarded-value",
            (*TIGHT, "--claim", "event_name=push", "--claim", "event_name=pull_request_target"),
            id="guarded value",
        ),
        pytest.param(
            "id-unpinned", ("--repository", "acme/train", "--workflow", "release.yml", "--branch", "main",
                            "--pin-first-use"), id="unpinned",
        ),
        pytest.param("short-ttl", (*TIGHT, "--ttl", "300"), id="short ttl"),
        pytest.param("replay-counted", (*TIGHT, "--replay", "counted"), id="replay"),
    ],
)  # fmt: skip
def test_a_fix_ends_its_finding(cli: Any, code: str, argv: tuple[str, ...]) -> None:
    """M07: copied from the terminal and filled in, the commands work, and nothing else of the publisher changes."""
    add(cli, *argv, "--expires", "2999-01-01", "--operations", "read,write")
    (fix,) = {item["fix"] for item in findings(cli)[1] if item["code"] == code}
    for command in fix.split(" && "):
        words = [FILLED_IN.get(word, word) for word in shlex.split(command)]
        assert words[:2] == ["keyless", "trust"]
        status, _ = cli(*words[2:])
        assert status == 0, words
    publishers = json.loads(cli("list", "--json")[1])

    assert code not in {item["code"] for item in findings(cli)[1]}
    assert all(publisher["expires_at"] == 32472144000 for publisher in publishers)
    assert all(publisher["operations"] == ["read", "write"] for publisher in publishers)


def test_a_fix_keeps_the_resource_server(cli: Any) -> None:
    """A publisher of another hub stays one."""
    assert cli("issuer", "list")[0] == 2  # nothing is there yet
    add(cli, *TIGHT)
    assert cli("resource-server", "add", "other", "--audience", "https://other.example.org")[0] == 0
    add(cli, *LOOSE, "--resource-server", "other", resource="acme/second")
    (found,) = findings(cli, "acme/second")[1]

    assert "--resource-server other" in found["fix"]
