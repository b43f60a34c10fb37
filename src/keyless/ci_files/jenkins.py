"""Jenkins with the OpenID Connect Provider plugin: a credential is the token (plugin's README)."""

from __future__ import annotations

from keyless.ci_files.job import CiFile, Job, block


def write(job: Job) -> CiFile:
    """Return a pipeline that publishes from the branch."""
    shell = [f"sh {_groovy(line)}" for line in job.commands()]
    environment = ["  environment {", f"    HF_ENDPOINT = {_groovy(job.endpoint)}", "  }"] if job.needs_endpoint else []
    lines = [
        "pipeline {",
        "  agent { docker { image 'python:3.12' } }",
        *environment,
        "  stages {",
        "    stage('Publish') {",
        f"      when {{ branch {_groovy(job.branch)} }}",
        "      steps {",
        "        withCredentials([string(credentialsId: 'keyless', variable: 'KEYLESS_ID_TOKEN')]) {",
        block(shell, indent=10),
        "        }",
        "      }",
        "    }",
        "  }",
        "}",
    ]
    before = (
        (
            "Add a credential of the kind “OpenID Connect id token” with the ID keyless and the audience"
            f" {job.audience}, in the folder of this job."
        ),
        "The service must be able to fetch the keys of this Jenkins.",
    )
    return CiFile("Jenkinsfile", "\n".join(lines) + "\n", before)


def _groovy(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
