"""The life of a publisher on the command line: changed, paused, locked, pending (T76, T92, T93, T101, T109, T117)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keyless.server.cli import audit, trust
from tests.server.cli.test_trust import GITHUB_ADD, Run
from tests.server.cli.test_trust import database as database  # noqa: PLC0414 - the fixture, under its name
from tests.server.cli.test_trust import run as run  # noqa: PLC0414 - as above


@pytest.fixture
def publisher(run: Run) -> dict[str, Any]:
    """A publisher of acme/model."""
    return dict(run(trust, *GITHUB_ADD))


def test_a_publisher_is_changed_and_keeps_its_id(run: Run, publisher: dict[str, Any]) -> None:
    """T76, T117: what is named changes, what is not stays; the audit has before and after."""
    identity = publisher["id"]
    changed = run(
        *(trust, "edit", identity, "--branch", "release", "--branch", "main", "--ttl", "900", "--operations", "write"),
        *("--max-live-tokens", "5", "--max-grants-per-hour", "50", "--max-run-attempt", "1", "--claim", "workflow="),
    )

    assert (changed["id"], changed["version"], changed["created_at"]) == (identity, 2, publisher["created_at"])
    assert {c["claim"]: c["values"] for c in changed["conditions"]} == {
        "branch": ["main", "release"],
        "repository": ["acme/train"],
    }
    assert changed["pins"] == publisher["pins"]
    names = ("ttl_seconds", "operations", "max_live_tokens", "max_grants_per_hour", "max_run_attempt")
    assert [changed[name] for name in names] == [900, ["write"], 5, 50, 1]
    event = run(audit, "list", "--kind", "publisher.changed")[0]
    assert event["data"]["changed"]["ttl_seconds"] == [None, 900]
    assert event["data"]["changed"]["conditions"][1]["branch"] == ["in", "main", "release"]


def test_default_takes_a_setting_back(run: Run, publisher: dict[str, Any]) -> None:
    """D7, D8: and what is so already is no change."""
    settings = ("--ttl", "--expires", "--replay", "--max-live-tokens", "--max-grants-per-hour", "--max-run-attempt")
    values = ("900", "30d", "counted", "0", "7", "2")
    run(trust, "edit", publisher["id"], *(part for pair in zip(settings, values, strict=True) for part in pair))
    back = run(trust, "edit", publisher["id"], *(part for name in settings for part in (name, "default")))
    again = run(trust, "edit", publisher["id"], "--ttl", "default")

    assert back == again
    assert back == {**{key: value for key, value in publisher.items() if key != "warnings"}, "version": 3}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--ttl", "5"], "60-3600"),
        (["--max-live-tokens", "10001"], "0-10000"),
        (["--max-run-attempt", "0"], "1-1000000"),
        (["--claim", "repository="], None),
        (["--branch", ""], None),
        (["--pin", "repository_id=x"], "not a number"),
        (["--expires", "2020-01-01"], "expired already"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_change_that_cannot_be_is_refused_and_nothing_changes(
    run: Run, publisher: dict[str, Any], capsys: pytest.CaptureFixture[str], argv: list[str], said: str | None
) -> None:
    """M00: an edit has the checks of an add."""
    status = trust.run(["edit", publisher["id"], *argv])
    stderr = capsys.readouterr().err
    if said is not None:
        assert status == 2
        assert said in stderr
        assert run(trust, "show", publisher["id"])["version"] == 1
    else:  # a claim that is taken out
        assert status in {0, 2}


def test_re_runs_are_only_counted_where_the_platform_does(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """T76: GitLab's tokens say nothing of it, and a setting that does nothing must not look as if it did."""
    run(trust, *GITHUB_ADD)
    argv = ["add", "acme/other", "--provider", "gitlab", "--repository", "acme/x", "--project-id", "1"]
    assert trust.run([*argv, "--namespace-id", "2", "--max-run-attempt", "1"]) == 2

    assert "do not count" in capsys.readouterr().err


def test_a_paused_publisher_says_why(run: Run, publisher: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """T91: until somebody resumes it; the old names of the verbs work."""
    paused = run(trust, "pause", publisher["id"], "--reason", "the workflow leaked")
    assert (paused["enabled"], paused["paused_reason"]) == (False, "the workflow leaked")
    assert run(trust, "list", "--paused")[0]["id"] == publisher["id"]
    assert trust.run(["show", publisher["id"]]) == 0
    assert "(paused: the workflow leaked)" in capsys.readouterr().out
    event = run(audit, "list", "--kind", "publisher.disabled")[0]
    assert event["reason"] == "the workflow leaked"

    resumed = run(trust, "enable", publisher["id"])
    assert (resumed["enabled"], resumed["paused_reason"]) == (True, None)
    assert run(trust, "list", "--paused") == []


def test_unused_publishers_are_listed(run: Run, publisher: dict[str, Any]) -> None:
    """T92: counted from the last use, else from the day they were added."""
    assert [item["id"] for item in run(trust, "list", "--unused-for", "0d")] == [publisher["id"]]
    assert run(trust, "list", "--unused-for", "1d") == []


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (["acme/model"], "resources"),
        (["--namespace", "acme"], "namespaces"),
        (["--issuer", "https://token.actions.githubusercontent.com"], "issuers"),
        (["--all"], "everything"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_is_locked_can_be_unlocked(run: Run, publisher: dict[str, Any], what: list[str], name: str) -> None:
    """T109: a resource, a namespace, an issuer, everything."""
    del publisher
    nothing = {"everything": False, "namespaces": [], "resources": [], "issuers": []}
    assert run(trust, "lock", *what)["locked"] is True
    locked = run(trust, "locks")

    assert locked[name]
    assert {**locked, name: nothing[name]} == nothing
    assert run(trust, "lock", *what)["locked"] is True
    assert run(trust, "unlock", *what)["locked"] is False
    assert run(trust, "locks") == nothing


def test_a_lock_keeps_its_reason(run: Run, publisher: dict[str, Any]) -> None:
    """T108: who, what, and why."""
    del publisher
    run(trust, "lock", "--all", "--reason", "incident 7")

    event = run(audit, "list", "--kind", "service")[0]
    assert (event["kind"], event["reason"]) == ("service.locked", "incident 7")


@pytest.mark.parametrize("argv", [["lock"], ["lock", "acme/model", "--all"], ["unlock"]], ids=" ".join)
def test_a_lock_says_what_it_is_for(database: Path, argv: list[str]) -> None:
    """T109: nothing is locked by omission."""
    del database
    with pytest.raises(SystemExit) as ended:
        trust.run(argv)

    assert ended.value.code == 2


def test_what_is_not_known_cannot_be_locked(run: Run, publisher: dict[str, Any]) -> None:
    """T109: a slip of the pen must not look like a lock."""
    del publisher, run
    for what in (["acme/modell"], ["--namespace", "acmee"], ["--issuer", "https://other.example"]):
        assert trust.run(["lock", *what]) == 2


def test_a_resource_can_be_kept_for_publishers(run: Run, publisher: dict[str, Any]) -> None:
    """T101: no fall-back to a stored token."""
    del publisher
    assert run(trust, "publishers-only", "acme/model")["publishers_only"] is True
    assert run(trust, "publishers-only", "acme/model", "--off")["publishers_only"] is False


def test_a_publisher_waits_for_a_name(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """T93: listed as pending, until the name is created - by whomever."""
    added = run(trust, "add", "acme/new", *GITHUB_ADD[2:], "--pending")
    assert added["pending_until"] is not None
    assert [item["id"] for item in run(trust, "list", "--pending")] == [added["id"]]
    assert trust.run(["show", added["id"]]) == 0
    assert "waits   for acme/new to exist" in capsys.readouterr().out
    assert trust.run(["lock", "acme/new"]) == 2
    capsys.readouterr()

    assert run(trust, "created", "acme/new") == {"resource": "models/acme/new", "awaited": True}
    assert run(trust, "list") == []
    assert run(trust, "created", "acme/new")["awaited"] is False


def test_every_verb_has_its_own_help(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S10: a person finds what each does."""
    del database
    for verb in ("edit", "pause", "resume", "lock", "unlock", "locks", "publishers-only", "created"):
        with pytest.raises(SystemExit) as ended:
            trust.run([verb, "--help"])
        assert ended.value.code == 0
        assert json.dumps(verb)[1:-1] in capsys.readouterr().out
