"""The composite action: linted, and its script run in a job under FakeCI against the real service."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from keyless.demo.stage import Stage
from keyless.testing import unverified_claims
from tests.journeys.ci_runner import ROOT, Step, load_documents, run_action, tool
from tests.journeys.job import folder, grants, head, trust

pytestmark = pytest.mark.journey

ACTION = ROOT / "action.yml"


def environment(stage: Stage, temporary: Path, *, permission: bool = True) -> dict[str, str]:
    job = stage.github.first if permission else stage.github.job(id_token_permission=False)
    return stage.step_environment(job, None, RUNNER_TEMP=str(temporary))


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """What GitHub empties with the job; the name is one that a shell would stumble over."""
    made = tmp_path / "runner's $temp"
    made.mkdir()
    return made


def use(stage: Stage, temporary: Path, environ: Mapping[str, str] | None = None, /, **inputs: str) -> Step:
    return run_action(ACTION, inputs, environ or environment(stage, temporary), temporary.parent)


def test_it_is_what_github_and_the_linters_accept() -> None:
    """Schema, security, shell."""
    checked = [
        tool("check-jsonschema", "--builtin-schema", "vendor.github-actions", ACTION),
        tool("zizmor", "--offline", "--pedantic", ACTION),
        tool("shellcheck", ROOT / "ci/github-action.sh"),
    ]

    assert [(done.returncode, done.stdout) for done in checked if done.returncode] == []


def test_no_input_is_ever_part_of_a_script() -> None:
    """An input in a script would be code of whoever writes it."""
    (action,) = load_documents(ACTION)

    assert [step for step in action["runs"]["steps"] if "${{" in step["run"]] == []


def test_the_command_is_there_for_the_steps_that_follow(stage: Stage, temporary: Path) -> None:
    """Set up, then `keyless exec` around the real hf: published, and nothing of the job is left behind."""
    trust(stage, "acme/by-action")
    local = folder(stage, "by-action", {"README.md": b"# By an action\n"})
    done = use(stage, temporary)
    assert (done.status, done.outputs, done.variables) == (0, {"token": ""}, {}), done.stderr

    environ = environment(stage, temporary)
    environ["PATH"] = ":".join([*done.paths, environ["PATH"]])
    words = ["keyless", "exec", "--resource", "acme/by-action", "--"]
    published = subprocess.run(
        [*words, str(stage.hf), "upload", "acme/by-action", str(local), "."],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert published.returncode == 0, published.stderr
    assert "README.md" in [file["rfilename"] for file in head(stage, "models", "acme/by-action")["siblings"]]
    assert len(grants(stage, "models/acme/by-action")) == 1


def test_a_token_as_an_output_and_in_a_variable(stage: Stage, temporary: Path) -> None:
    """Masked before it is anywhere else, and from the service that the input names."""
    trust(stage, "acme/action-output")
    environ = environment(stage, temporary)
    environ["HF_ENDPOINT"] = "https://elsewhere.example"
    done = use(stage, temporary, environ, resource="acme/action-output", endpoint=stage.url, variable="MY_TOKEN")
    assert done.status == 0, done.stderr
    token = done.outputs["token"]

    assert unverified_claims(token.removeprefix("hf_jwt_"))["resource"] == "models/acme/action-output"
    assert done.variables == {"MY_TOKEN": token}
    assert done.stderr == f"::add-mask::{token}\n"
    assert token not in done.stdout


def test_a_later_step_gets_the_same_token(stage: Stage, temporary: Path) -> None:
    """One exchange for the job, by action and command line together."""
    trust(stage, "acme/action-twice")
    first = use(stage, temporary, resource="acme/action-twice")
    environ = environment(stage, temporary)
    environ["PATH"] = ":".join([*first.paths, environ["PATH"]])
    words = ["keyless", "token", "--resource", "acme/action-twice"]
    second = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=30, check=False)

    assert second.stdout == f"{first.outputs['token']}\n"
    assert len(grants(stage, "models/acme/action-twice")) == 1


def test_a_job_without_the_permission_fails_with_the_lines_to_add(stage: Stage, temporary: Path) -> None:
    """S6: exit 3, nothing in any output."""
    done = use(stage, temporary, environment(stage, temporary, permission=False), resource="acme/any")

    assert (done.status, done.outputs, done.variables) == (3, {"token": ""}, {})
    assert "id-token: write" in done.stderr


@pytest.mark.parametrize(
    "inputs",
    [
        {"variable": "MY_TOKEN"},
        {"resource": "acme/any", "variable": "A B"},
        {"resource": "acme/any", "variable": "A\nLD_PRELOAD=/tmp/evil.so\nB"},
        {"resource": "acme/any", "variable": "1A"},
    ],
    ids=str,
)
def test_inputs_that_cannot_be_used_set_nothing(stage: Stage, temporary: Path, inputs: dict[str, str]) -> None:
    """A variable's name is not a way to set others."""
    done = run_action(ACTION, inputs, environment(stage, temporary), temporary.parent)

    assert (done.status, done.variables, done.outputs) == (2, {}, {"token": ""})


def test_the_workspace_does_not_come_between(stage: Stage, temporary: Path) -> None:
    """A repository with modules of the same names, and a PYTHONPATH, change nothing."""
    trust(stage, "acme/planted")
    planted = temporary.parent / "planted"
    for name in ("keyless", "ssl", "sitecustomize", "usercustomize"):
        (planted / name).mkdir(parents=True)
        (planted / name / "__init__.py").write_text("raise SystemExit(99)\n")
    environ = {**environment(stage, temporary), "PYTHONPATH": str(planted)}
    (temporary.parent / "keyless.py").write_text("raise SystemExit(99)\n")

    assert use(stage, temporary, environ, resource="acme/planted").status == 0


def test_a_runner_without_python_is_told_which(stage: Stage, temporary: Path) -> None:
    """Self-hosted runners have anything."""
    tools = temporary.parent / "bin"
    tools.mkdir()
    for name in ("bash", "mktemp", "cat", "chmod"):
        found = next(Path(entry, name) for entry in os.environ["PATH"].split(":") if Path(entry, name).exists())
        (tools / name).symlink_to(found)
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = use(stage, temporary, {**environment(stage, temporary), "PATH": str(tools)})

    assert done.status == 2
    assert "Python 3.11 or newer" in done.stdout
