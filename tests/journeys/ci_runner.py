"""As much of GitHub's runner and of GitLab's as it takes to run the files that other repositories include from here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venvs/ci-files/bin"
_INPUT = re.compile(r"\$\[\[\s*inputs\.([\w-]+)\s*\]\]")
_LOAD = """
import json, sys
from ruamel.yaml import YAML
json.dump(list(YAML(typ="safe").load_all(sys.stdin)), sys.stdout)
"""


def tool(name: str, *words: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the tools of `requirements/ci-files.txt`; a missing one is a failure."""
    program = TOOLS / name
    if not program.exists():
        pytest.fail(f"{program} is missing: run `make journeys`")
    return subprocess.run(
        [str(program), *map(str, words)], input=text, capture_output=True, text=True, timeout=60, check=False
    )


def load_documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return _load(path.read_text(encoding="utf-8"))


def _load(text: str) -> list[Any]:
    loaded = tool("python", "-c", _LOAD, text=text)
    assert loaded.returncode == 0, loaded.stderr
    documents: list[Any] = json.loads(loaded.stdout)
    return documents


@dataclass
class Step:
    """What a step left behind, as the runner reads it."""

    status: int
    stdout: str
    stderr: str
    outputs: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)


def run_action(path: Path, inputs: Mapping[str, str], environ: Mapping[str, str], folder: Path) -> Step:
    """Run a composite action of one shell step ("Metadata syntax for GitHub Actions").

    Args:
        path: The action's file.
        inputs: What the workflow's `with:` says; the others have their defaults.
        environ: The job's variables.
        folder: Where the runner keeps its command files.
    """
    (action,) = load_documents(path)
    assert action["runs"]["using"] == "composite"
    (step,) = action["runs"]["steps"]
    assert step["shell"] == "bash"
    assert set(inputs) <= set(action["inputs"])
    values = {name: str(known.get("default", "")) for name, known in action["inputs"].items()} | dict(inputs)
    script = folder / "script.sh"
    script.write_text(step["run"])
    files = {name: folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
    for file in files.values():
        file.write_text("")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        env={
            **environ,
            "GITHUB_ACTION_PATH": str(path.parent),
            **{name: str(file) for name, file in files.items()},
            **{name: _expand(text, {"inputs": values}) for name, text in step["env"].items()},
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    raw = _pairs(files["GITHUB_OUTPUT"])
    steps = {f"{step['id']}.outputs.{name}": value for name, value in raw.items()}
    outputs = {name: _expand(known["value"], {"steps": steps}) for name, known in action["outputs"].items()}
    paths = files["GITHUB_PATH"].read_text().split("\n")[:-1]
    return Step(done.returncode, done.stdout, done.stderr, outputs, _pairs(files["GITHUB_ENV"]), paths)


def _expand(text: str, contexts: Mapping[str, Mapping[str, str]]) -> str:
    def value(found: re.Match[str]) -> str:
        context, _, name = found[1].partition(".")
        return contexts[context].get(name, "")  # what is not there is empty, as with GitHub

    return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", value, text)


def _pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def interpolate_component(path: Path, inputs: Mapping[str, str], *, as_text: bool = False) -> dict[str, Any]:
    """Return the jobs of a component with the inputs filled in ("CI/CD inputs").

    Args:
        path: The component.
        inputs: What its user says.
        as_text: Fill them into the text, before it is read as YAML; GitLab did both in its time.

    Raises:
        KeyError: An input that has no default is missing.
    """
    header, _ = load_documents(path)
    known = header["spec"]["inputs"]
    assert set(inputs) <= set(known)
    values = {name: inputs[name] if name in inputs else known[name]["default"] for name in known}
    if as_text:
        head, separator, text = path.read_text(encoding="utf-8").partition("\n---\n")
        assert separator
        filled = _INPUT.sub(lambda found: values[found[1]], text)
        jobs = _load(f"{head}{separator}{filled}")[1]
        assert isinstance(jobs, dict)
        return jobs

    def fill(node: Any) -> Any:
        if isinstance(node, dict):
            return {fill(name): fill(value) for name, value in node.items()}
        if isinstance(node, list):
            return [fill(value) for value in node]
        if not isinstance(node, str):
            return node
        return _INPUT.sub(lambda found: values[found[1]], node)

    jobs = fill(load_documents(path)[1])
    assert isinstance(jobs, dict)
    return jobs


def run_job(job: Mapping[str, Any], environ: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a job's script as GitLab's shell executor does: its lines in one bash that stops at the first failure."""
    variables = {}
    for name, value in job["variables"].items():
        assert isinstance(value, str) or value["expand"] is False  # nothing else is played here
        variables[name] = value if isinstance(value, str) else value["value"]
    return subprocess.run(
        ["bash", "-c", "set -eo pipefail\n" + "\n".join(job["script"])],
        env={"PATH": os.environ["PATH"], **environ, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
