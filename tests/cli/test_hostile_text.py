"""Escape sequences in what others wrote - claims, a service's answers - never reach the terminal of who reads (T18)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from keyless.cli import doctor
from keyless.cli.main import main
from keyless.server.cli import trust
from keyless.testing import FakeCI, FakeIssuer, github_claims
from tests.support.job import TOKEN_PATH, Job, run_cli
from tests.support.stub import Answer

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202efdp.exe"


def harmless(text: str) -> bool:
    """Tell whether text has no character that a terminal would act on, but for the ends of its lines."""
    return all(line.isprintable() for line in text.split("\n"))


def test_the_doctor_shows_hostile_claims(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The token is not verified in the job: anybody's claims may be in it."""
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "HF_", "KEYLESS_", "ACTIONS_")):
            monkeypatch.delenv(name)
    claims = dict.fromkeys(("ref", "workflow_ref", "environment", "repository", "sub"), f"main{HOSTILE}")
    with FakeIssuer(algorithm="ES256") as issuer, FakeCI.github(issuer, claims) as ci:
        for name, value in ci.environ().items():
            monkeypatch.setenv(name, value.replace("\0", ""))
        monkeypatch.setenv("HF_ENDPOINT", issuer.url)
        monkeypatch.setenv("HF_OIDC_RESOURCE", "acme/model")
        doctor.run([])
    shown = capsys.readouterr().out

    assert harmless(shown)
    assert "main" in shown


def test_a_services_answer_is_shown_as_text() -> None:
    """The hub of somebody else may answer what it likes."""
    with Job() as job:
        body = {"error": f"no{HOSTILE}", "error_description": f"never{HOSTILE}", "reason": f"r{HOSTILE}"}
        job.on(TOKEN_PATH, Answer(400, body))
        done = run_cli("token", environ={**job.github(), "NO_COLOR": "1"})

    assert done.returncode == 4
    assert done.stdout == ""
    assert harmless(done.stderr)


def test_an_explanation_shows_hostile_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Expected against received, on the operator's terminal."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.chdir(tmp_path)
    pins = ["--repository-id", "1", "--repository-owner-id", "2"]
    added = ["add", "acme/model", "--provider", "github", "--repository", "acme/train", "--branch", "main", *pins]
    assert trust.run([*added, "--db", "keyless.db"]) == 0
    capsys.readouterr()
    claims = github_claims(aud="x", ref=f"refs/heads/dev{HOSTILE}")
    Path("job.json").write_text(json.dumps({**claims, "iss": "https://token.actions.githubusercontent.com"}))
    trust.run(["explain", "acme/model", "--claims", "job.json", "--provider", "github", "--db", "keyless.db"])
    printed = capsys.readouterr()

    assert harmless(printed.out)
    assert harmless(printed.err)
    assert "refused" in printed.out


@pytest.mark.parametrize(
    "verb", [["trust", "show", HOSTILE], ["audit", "show", HOSTILE], [HOSTILE], ["token", HOSTILE]]
)
def test_an_argument_is_echoed_as_text(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a CI log the argument may come from somebody else."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.chdir(tmp_path)
    assert trust.run(["issuer", "list", "--db", "keyless.db"]) in {0, 2}
    capsys.readouterr()
    try:
        code = main([*verb, "--db", "keyless.db"] if len(verb) == 3 else verb)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    printed = capsys.readouterr()

    assert code != 0
    assert harmless(printed.out + printed.err)
