"""The GitLab component: linted, and its script run in a job under FakeCI against the real service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.demo.stage import Stage
from keyless.testing import FakeCI, FakeIssuer
from tests.journeys.ci_runner import ROOT, interpolate_component, run_job, tool
from tests.journeys.job import folder, grants, head

pytestmark = pytest.mark.journey

COMPONENT = ROOT / "templates/publish.yml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that a repository would carry in its `ci` folder."""
    target = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def gitlab(stage: Stage) -> Iterator[FakeIssuer]:
    """A GitLab instance that the service trusts."""
    with FakeIssuer() as issuer:
        stage.administer("trust", "issuer", "add", issuer.url, "--kind", "gitlab", "--network", "loopback")
        yield issuer


def trust(stage: Stage, gitlab: FakeIssuer, resource: str) -> None:
    stage.administer(
        "trust", "add", resource, "--issuer", gitlab.url, "--repository", "acme/widgets",
        "--branch", "main", "--project-id", "20", "--namespace-id", "72",
    )  # fmt: skip


def run(
    stage: Stage, gitlab: FakeIssuer, job: dict[str, Any], folder: Path, *, audience: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a job whose one id token is what its own `id_tokens:` asks for."""
    ((variable, wanted),) = job["id_tokens"].items()
    ci = FakeCI.gitlab(gitlab, audience=audience or wanted["aud"], variable=variable)
    environ = {**stage.step_environment(None, None), **ci.environ(), "PIP_NO_INDEX": "1"}
    return run_job(job, environ, folder)


def test_gitlabs_schema_and_the_shell_linter_accept_it(tmp_path: Path) -> None:
    """With inputs as they come, quotes and all."""
    jobs = interpolate_component(
        COMPONENT, {"resource": "acme/m", "package": "./k.whl", "command": 'echo "it\'s $HOME"'}
    )
    filled = tmp_path / "gitlab-ci.json"
    filled.write_text(json.dumps(jobs))
    script = tmp_path / "script.sh"
    script.write_text("#!/usr/bin/env bash\nset -eo pipefail\n" + "\n".join(jobs["publish"]["script"]) + "\n")
    checked = [
        tool("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", filled),
        # Variables come from the job, and one of them is meant to be split.
        tool("shellcheck", "--exclude", "SC2154,SC2086", script),
    ]

    assert [(done.returncode, done.stdout, done.stderr) for done in checked if done.returncode] == []


def test_quotes_and_signs_of_yaml_are_the_commands(tmp_path: Path) -> None:
    """However GitLab fills the inputs in, nothing in a command ends the text around it."""
    command = """echo "it's" 'a "b"': # $HOME \\ %{x} - [y] {z} & * ! | > @ `date`"""
    inputs = {"resource": "acme/m", "package": "./a b.whl", "command": command, "exec-options": "--env 'X'"}
    by_node, by_text = (
        interpolate_component(COMPONENT, inputs, as_text=as_text)["publish"] for as_text in (False, True)
    )

    assert by_node == by_text
    assert by_node["variables"]["PUBLISH_COMMAND"] == {"value": command, "expand": False}


@pytest.mark.parametrize("missing", ["resource", "package", "command"])
def test_what_has_no_safe_default_must_be_said(missing: str) -> None:
    """Least of all what is installed."""
    inputs = {"resource": "acme/m", "package": "./k.whl", "command": "true"}
    del inputs[missing]

    with pytest.raises(KeyError):
        interpolate_component(COMPONENT, inputs)


def test_the_job_publishes(stage: Stage, gitlab: FakeIssuer, wheel: Path, tmp_path: Path) -> None:
    """The real hf in the job's script; a quote and a dollar in the command are the command's."""
    trust(stage, gitlab, "acme/by-component")
    local = folder(stage, "by-component", {"README.md": b"# By a component\n"})
    command = f'where=\'{local}\'; test -z "${{KEYLESS_ID_TOKEN:-}}"; {stage.hf} upload acme/by-component "$where" .'
    inputs = {"resource": "acme/by-component", "endpoint": stage.url, "package": str(wheel), "command": command}
    done = run(stage, gitlab, interpolate_component(COMPONENT, inputs)["publish"], tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "README.md" in [file["rfilename"] for file in head(stage, "models", "acme/by-component")["siblings"]]
    assert len(grants(stage, "models/acme/by-component")) == 1


def test_further_resources_by_exec_options(stage: Stage, gitlab: FakeIssuer, wheel: Path, tmp_path: Path) -> None:
    """One id token, two exchanges: a GitLab token counts (D8)."""
    trust(stage, gitlab, "acme/component-model")
    trust(stage, gitlab, "datasets/acme/component-data")
    inputs = {
        "resource": "acme/component-model",
        "endpoint": stage.url,
        "package": str(wheel),
        "command": 'test "$(cat "$DATA")" != "$(cat "$HF_TOKEN_PATH")" && echo two different tokens',
        "exec-options": "--resource DATA=datasets/acme/component-data",
        "job-name": "both",
    }
    done = run(stage, gitlab, interpolate_component(COMPONENT, inputs)["both"], tmp_path)

    assert (done.returncode, done.stdout) == (0, "two different tokens\n"), done.stderr


def test_the_commands_failure_is_the_jobs(stage: Stage, gitlab: FakeIssuer, wheel: Path, tmp_path: Path) -> None:
    """`sh -eu`: the first command that fails ends it, and so does a variable that is not there."""
    trust(stage, gitlab, "acme/component-fails")
    inputs = {"resource": "acme/component-fails", "endpoint": stage.url, "package": str(wheel)}
    ends = {"(exit 7); echo no": 7, 'echo "$NOT_THERE"; echo no': 2}
    jobs = [interpolate_component(COMPONENT, {**inputs, "command": command})["publish"] for command in ends]
    done = [run(stage, gitlab, job, tmp_path) for job in jobs]

    assert [one.returncode for one in done] == list(ends.values()), done[-1].stderr
    assert "no\n" not in "".join(one.stdout for one in done)


def test_a_token_for_another_audience_ends_it_before_the_command(
    stage: Stage, gitlab: FakeIssuer, wheel: Path, tmp_path: Path
) -> None:
    """S6: told before anything is sent."""
    inputs = {"resource": "acme/any", "endpoint": stage.url, "package": str(wheel), "command": "touch ran"}
    job = interpolate_component(COMPONENT, inputs)["publish"]
    done = run(stage, gitlab, job, tmp_path, audience="https://elsewhere.example")

    assert done.returncode == 2
    assert "keyless: audience:" in done.stderr
    assert not (tmp_path / "ran").exists()
