"""`keyless providers`: what this job can do, and what to configure."""

from __future__ import annotations

import json

import pytest

from keyless.cli.main import main
from keyless.providers.order import NAMES


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["providers", "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_nothing_is_detected_outside_ci(capsys: pytest.CaptureFixture[str]) -> None:
    """All platforms are listed with what they need."""
    found = rows(capsys)

    assert tuple(found) == NAMES
    assert not any(row["detected"] or row["can_mint"] for row in found.values())
    assert all(row["configure"] for row in found.values())


def test_a_job_without_permission(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Detected, cannot mint, and the lines to add."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    github = rows(capsys)["github"]

    assert (github["detected"], github["can_mint"]) == (True, False)
    assert "id-token: write" in str(github["hint"])


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """For people; no token in it."""
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("HF_OIDC_ID_TOKEN", "secretsecretsecret")

    assert main(["providers", "--endpoint", "https://hub.example.org"]) == 0
    out = capsys.readouterr().out
    assert "secretsecret" not in out
    assert "aud: https://hub.example.org" in out
    assert out.splitlines()[1].split()[:3] == ["handed-over", "yes", "yes"]
