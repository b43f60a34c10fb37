"""Google Cloud Build: the metadata server is asked (Google Cloud docs, "Get an ID token")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, scalar


def write(job: Job) -> CiFile:
    """Return a build that publishes; the trigger decides about the branch."""
    variables = ["KEYLESS_PROVIDER=google-cloud"]
    if job.needs_endpoint:
        variables.append(f"HF_ENDPOINT={job.endpoint}")
    lines = [
        "steps:",
        "  - id: publish",
        "    name: python:3.12",
        "    entrypoint: bash",
        "    env:",
        block([f"- {scalar(variable)}" for variable in variables], indent=6),
        "    args:",
        "      - -ceu",
        "      - |",
        block(job.commands(), indent=8),
        "options:",
        "  logging: CLOUD_LOGGING_ONLY",
    ]
    before = (
        (
            f"Let the trigger start for pushes to {job.branch} only, and give it a service account of its own: its"
            " numeric id is all the token says."
        ),
    )
    return CiFile("cloudbuild.yaml", "\n".join(lines) + "\n", before)
