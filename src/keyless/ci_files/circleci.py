"""CircleCI: `keyless` asks `circleci run oidc get` (CircleCI docs, "Using OpenID Connect tokens in jobs")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, command, scalar


def write(job: Job) -> CiFile:
    """Return a configuration that publishes on every push to the branch."""
    endpoint = ["    environment:", f"      HF_ENDPOINT: {scalar(job.endpoint)}"] if job.needs_endpoint else []
    lines = [
        "version: 2.1",
        "jobs:",
        "  publish:",
        "    docker:",
        "      - image: cimg/python:3.12",
        *endpoint,
        "    steps:",
        "      - checkout",
        block([f"- run: {command(line)}" for line in job.commands()], indent=6),
        "workflows:",
        "  publish:",
        "    jobs:",
        "      - publish:",
        "          filters:",
        "            branches:",
        f"              only: {scalar(job.branch)}",
    ]
    before = ("Leave “Pass secrets to builds from forked pull requests” off in the project's settings.",)
    return CiFile(".circleci/config.yml", "\n".join(lines) + "\n", before)
