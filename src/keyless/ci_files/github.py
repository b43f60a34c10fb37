"""GitHub Actions: the real `hf` mints there by itself (GitHub docs, "OpenID Connect reference")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, command, scalar


def write(job: Job) -> CiFile:
    """Return a workflow that publishes on every push to the branch."""
    environment = [f"    environment: {scalar(job.environment)}"] if job.environment else []
    endpoint = ["    env:", f"      HF_ENDPOINT: {scalar(job.endpoint)}"] if job.needs_endpoint else []
    steps: list[str] = []
    if job.packages:
        steps = [f"- run: {command(line)}" for line in job.commands()]
    for resource, upload in () if job.packages else job.uploads():
        steps += [
            f"- name: Publish {resource.short}",
            "  env:",
            f"    HF_OIDC_RESOURCE: {scalar(resource.short)}",
            f"  run: {command(upload)}",
        ]
    lines = [
        "name: Publish",
        "on:",
        "  push:",
        f"    branches: [{scalar(job.branch)}]",
        "",
        "permissions:",
        "  id-token: write # the job may ask GitHub for its id token",
        "  contents: read",
        "",
        "jobs:",
        "  publish:",
        "    runs-on: ubuntu-latest",
        *environment,
        *endpoint,
        "    steps:",
        "      - uses: actions/checkout@v4",
        "        with:",
        "          persist-credentials: false",
        "      - uses: actions/setup-python@v5",
        "        with:",
        '          python-version: "3.12"',
        *([] if job.packages else ["      - run: python -m pip install huggingface_hub"]),
        block(steps, indent=6),
    ]
    return CiFile(f".github/workflows/{job.file_name}", "\n".join(lines) + "\n")
