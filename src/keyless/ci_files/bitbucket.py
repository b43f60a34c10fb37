"""Bitbucket Pipelines (Atlassian docs, "Integrate Pipelines with resource servers using OIDC")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, command, scalar


def write(job: Job) -> CiFile:
    """Return a pipeline that publishes on every push to the branch."""
    environment = [f"          deployment: {scalar(job.environment)}"] if job.environment else []
    exports = [f"export HF_ENDPOINT={job.endpoint}"] if job.needs_endpoint else []
    lines = [
        "image: python:3.12",
        "pipelines:",
        "  branches:",
        f"    {scalar(job.branch)}:",
        "      - step:",
        "          name: Publish",
        *environment,
        "          oidc:",
        "            audiences:",
        f"              - {scalar(job.audience)}",
        "          script:",
        block([f"- {command(line)}" for line in [*exports, *job.commands()]], indent=12),
    ]
    before = (
        (
            "Copy the workspace's and the repository's UUID from Repository settings > OpenID Connect: the token names"
            " nothing else."
        ),
    )
    return CiFile("bitbucket-pipelines.yml", "\n".join(lines) + "\n", before)
