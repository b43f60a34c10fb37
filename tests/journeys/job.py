"""What a journey does in its job: trust, run a step, look at the hub."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keyless.demo.children import Finished
from keyless.demo.stage import OWNER_ID, REPOSITORY, REPOSITORY_ID, WORKFLOW, Stage
from keyless.testing.github import GitHubJob


def trust(stage: Stage, resource: str, *options: str, branch: str = "main") -> str:
    """Trust the good job with a resource and return the publisher's id."""
    done = stage.administer(
        "trust", "add", resource, "--issuer", stage.issuer.url, "--repository", REPOSITORY, "--branch", branch,
        "--workflow", WORKFLOW, "--repository-id", REPOSITORY_ID, "--repository-owner-id", OWNER_ID, "--json", *options,
    )  # fmt: skip
    publisher: str = json.loads(done.stdout)["id"]
    return publisher


def step(
    stage: Stage, resource: str | None, arguments: Sequence[str], *, job: GitHubJob | None = None, **variables: str
) -> Finished:
    """Run `hf` as one step of a job: of the good one, unless another is given."""
    environment = stage.step_environment(job or stage.github.first, resource, **variables)
    return stage.run_hf(environment, [str(argument) for argument in arguments])


def stranger(stage: Stage, arguments: Sequence[str]) -> Finished:
    """Run `hf` outside any CI, logged in nowhere."""
    return stage.run_hf(stage.step_environment(None, None), arguments)


def folder(stage: Stage, name: str, files: dict[str, bytes]) -> Path:
    """Write files to upload and return their folder."""
    target = stage.folder / "job" / name
    for path, content in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)
    return target


def head(stage: Stage, kind: str, name: str) -> dict[str, Any]:
    """Return what the hub says about a public repository."""
    with urllib.request.urlopen(f"{stage.url}/api/{kind}/{name}", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def grants(stage: Stage, resource: str) -> list[dict[str, Any]]:
    """Return the grants of a canonical resource in the audit trail."""
    return [e for e in stage.audit_events() if e["kind"] == "token.granted" and e["resource"] == resource]


def refusals(stage: Stage, resource: str) -> list[str]:
    """Return the reasons of refusals of a canonical resource in the audit trail."""
    return [e["reason"] for e in stage.audit_events() if e["kind"] == "exchange.refused" and e["resource"] == resource]
