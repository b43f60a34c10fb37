"""The shipped plugin costs nothing until a fixture is used, and its fixtures work in a stranger's project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STRANGERS_TEST = """
import json, urllib.request

def test_it(github_ci, gitlab_ci):
    variables = github_ci.environ()
    request = urllib.request.Request(
        variables["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=x",
        headers={"Authorization": "bearer " + variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.loads(answer.read())["value"].count(".") == 2
    assert gitlab_ci("x").id_token.count(".") == 2
"""


def test_the_fixtures_work_in_another_project(tmp_path: Path) -> None:
    """The plugin is found by its entry point."""
    (tmp_path / "test_stranger.py").write_text(STRANGERS_TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_loading_the_plugin_needs_no_cryptography() -> None:
    """D1: pytest must start in an environment that has the client only."""
    program = "import sys, keyless.testing.pytest_plugin; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == "False"
