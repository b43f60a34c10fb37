"""AWS CodeBuild: STS signs a token for the role (AWS docs, "Outbound identity federation")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, command, scalar


def write(job: Job) -> CiFile:
    """Return a build specification that publishes; the project decides about the branch."""
    endpoint = ["env:", "  variables:", f"    HF_ENDPOINT: {scalar(job.endpoint)}"] if job.needs_endpoint else []
    lines = [
        'version: "0.2"',
        *endpoint,
        "phases:",
        "  install:",
        "    runtime-versions:",
        '      python: "3.12"',
        "  build:",
        "    commands:",
        block([f"- {command(line)}" for line in job.commands()], indent=6),
    ]
    before = (
        (
            "Switch outbound identity federation on in the account (iam:EnableOutboundWebIdentityFederation); the"
            " answer is the issuer's URL."
        ),
        f"Allow the project's role sts:GetWebIdentityToken, with sts:IdentityTokenAudience = {job.audience}.",
        f"Let the project build pushes to {job.branch} only.",
    )
    return CiFile("buildspec.yml", "\n".join(lines) + "\n", before)
