"""Azure Pipelines: the step maps the access token itself (Microsoft docs, "Oidctoken - Create")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, scalar


def write(job: Job) -> CiFile:
    """Return a pipeline that publishes on every push to the branch."""
    endpoint = [f"HF_ENDPOINT: {scalar(job.endpoint)}"] if job.needs_endpoint else []
    lines = [
        "trigger:",
        "  branches:",
        f"    include: [{scalar(job.branch)}]",
        "pr: none",
        "pool:",
        "  vmImage: ubuntu-latest",
        "steps:",
        "  - task: UsePythonVersion@0",
        "    inputs:",
        '      versionSpec: "3.12"',
        "  - displayName: Publish",
        "    script: |",
        block(["set -e", *job.commands()], indent=6),
        "    env:",
        block(["SYSTEM_ACCESSTOKEN: $(System.AccessToken)", *endpoint], indent=6),
    ]
    before = ("The audience is always api://AzureADTokenExchange; the service has to accept it from this issuer.",)
    return CiFile("azure-pipelines.yml", "\n".join(lines) + "\n", before)
