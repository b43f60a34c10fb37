"""GitLab CI/CD: the token is minted before the job, for the audience it names (GitLab docs, "ID tokens")."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block, command, scalar


def write(job: Job) -> CiFile:
    """Return a pipeline that publishes on every push to the branch."""
    endpoint = ["  variables:", f"    HF_ENDPOINT: {scalar(job.endpoint)}"] if job.needs_endpoint else []
    environment = [f"  environment: {scalar(job.environment)}"] if job.environment else []
    rule = f'$CI_COMMIT_BRANCH == "{job.branch}"'
    lines = [
        "publish:",
        "  image: python:3.12",
        *environment,
        "  rules:",
        f"    - if: {rule}",
        "  id_tokens:",
        "    KEYLESS_ID_TOKEN:",
        f"      aud: {scalar(job.audience)}",
        *endpoint,
        "  script:",
        block([f"- {command(line)}" for line in job.commands()], indent=4),
    ]
    return CiFile(".gitlab-ci.yml", "\n".join(lines) + "\n")
