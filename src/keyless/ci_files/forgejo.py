"""Forgejo Actions, 15.0 or newer (Forgejo docs, "OpenID Connect")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, command, scalar


def write(job: Job) -> CiFile:
    """Return a workflow that publishes on every push to the branch."""
    endpoint = ["    env:", f"      HF_ENDPOINT: {scalar(job.endpoint)}"] if job.needs_endpoint else []
    lines = [
        "name: Publish",
        "on:",
        "  push:",
        f"    branches: [{scalar(job.branch)}]",
        "",
        "jobs:",
        "  publish:",
        "    runs-on: docker",
        "    container:",
        "      image: python:3.12",
        "    enable-openid-connect: true # instead of GitHub's permissions:",
        *endpoint,
        "    steps:",
        "      - uses: actions/checkout@v4",
        block([f"- run: {command(line)}" for line in job.commands()], indent=6),
    ]
    return CiFile(f".forgejo/workflows/{job.file_name}", "\n".join(lines) + "\n")
