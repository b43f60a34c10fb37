"""Buildkite: `keyless` asks the agent's API (Buildkite docs, "OIDC")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, command, scalar


def write(job: Job) -> CiFile:
    """Return a pipeline that publishes from the branch."""
    endpoint = ["    env:", f"      HF_ENDPOINT: {scalar(job.endpoint)}"] if job.needs_endpoint else []
    lines = [
        "steps:",
        "  - label: Publish",
        "    key: publish",
        f"    branches: {scalar(job.branch)}",
        *endpoint,
        "    commands:",
        block([f"- {command(line)}" for line in job.commands()], indent=6),
    ]
    before = (
        (
            "Switch builds of third-party forks off in the pipeline's GitHub settings: nothing in the token tells them"
            " apart."
        ),
    )
    return CiFile(".buildkite/pipeline.yml", "\n".join(lines) + "\n", before)
