"""The README's snippets, taken out of the page and run: what a newcomer copies works as it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keyless.server.cli import trust
from keyless.testing import FakeIssuer, github_claims
from keyless.verifier import VerifiedAccessToken
from tests.support.postgres import PostgresServer
from tests.support.running import RunningService

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = (
    "Add it to GitHub Actions",
    "Add it to GitLab",
    "See why a run was refused",
    "Run it on PostgreSQL",
    "Verify a token in your service",
)


def section(heading: str) -> str:
    """Return what stands under a heading."""
    text = (ROOT / "README.md").read_text()
    return text[text.index(f"## {heading}\n") :].partition("\n## ")[0] + "\n"


def snippet(heading: str, language: str) -> str:
    """Return the first block of a language under a heading."""
    found: list[str] = re.findall(rf"```{language}[^\n]*\n(.*?)```", section(heading), re.DOTALL)
    return found[0]


@pytest.mark.parametrize("heading", HEADINGS)
def test_each_question_has_its_own_heading_and_snippet(heading: str) -> None:
    """Whoever looks for one thing finds it by its name."""
    assert "```" in section(heading)


def test_a_refusal_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S10, D12: the publisher of the page, and a job on another branch."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.chdir(tmp_path)
    add = next(block for block in re.findall(r"```console\n(.*?)```", section("Add it to GitHub Actions"), re.DOTALL))
    words = add.replace("\\\n", " ").split()
    assert words[:3] == ["$", "keyless", "trust"]
    assert trust.run([*words[3:], "--db", "keyless.db"]) == 0
    file = "acme/widgets/.github/workflows/train.yml@refs/heads/dev"
    claims = github_claims(aud="x", ref="refs/heads/dev", workflow_ref=file, job_workflow_ref=file)
    Path("job.json").write_text(json.dumps({**claims, "iss": "https://token.actions.githubusercontent.com"}))
    capsys.readouterr()
    words = snippet("See why a run was refused", "console").split()

    assert words[:3] == ["$", "keyless", "trust"]
    assert trust.run([*words[3:], "--db", "keyless.db"]) == 4
    assert re.search(r"branch +'main' +dev +differs", capsys.readouterr().out)


def test_the_settings_for_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    """D4: the commands as they stand, with this machine's database in place of the page's."""
    text = snippet("Run it on PostgreSQL", "toml")
    postgres.execute("CREATE DATABASE readme")
    placed = text.replace("postgresql://keyless@db.example.org/keyless", postgres.url("readme").reveal())
    assert placed != text
    (tmp_path / "keyless.toml").write_text(f'{placed}listen = "127.0.0.1:0"\ninside_listen = "127.0.0.1:0"\n')
    commands = snippet("Run it on PostgreSQL", "console").replace("$ keyless", f"$ {sys.executable} -m keyless")
    for line in commands.splitlines():
        done = subprocess.run(
            line.removeprefix("$ "), shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_a_token_is_verified(tmp_path: Path) -> None:
    """D5: the page's code accepts a token of a real service, and stops when it is revoked."""
    with FakeIssuer() as issuer:
        service = RunningService(tmp_path, issuer)
        service.start()
        try:
            status, answer = service.exchange(service.mint())
            assert status == 200
            inside = re.findall(r"inside on (http://\S+)", (tmp_path / "serve.log").read_text())[-1]
            administration = service.administration()
            credential = administration.renew_resource_server_credential("hub").reveal()
            administration.close()
            code = snippet("Verify a token in your service", "python").replace("http://127.0.0.1:8081", inside)
            names: dict[str, Any] = {"credential": credential, "__name__": "readme"}
            exec(code.replace("https://hub.example.org", service.url), names)
            try:
                assert names["may_write"](answer["access_token"], "acme/model")
                proven = names["verifier"].verify(answer["access_token"])
            finally:
                names["verifier"].close()
        finally:
            service.stop()
    assert isinstance(proven, VerifiedAccessToken)
