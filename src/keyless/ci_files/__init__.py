"""The CI file to commit, for every platform: one file each. Pure; both the client and the service's pages show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from keyless.ci_files import (
    aws,
    azure_devops,
    bitbucket,
    buildkite,
    circleci,
    forgejo,
    github,
    gitlab,
    google_cloud,
    jenkins,
    kubernetes,
    shell,
)
from keyless.ci_files.job import HUB, WHEEL, CiFile, Job

__all__ = ["HUB", "PLATFORMS", "WHEEL", "CiFile", "Job"]

PLATFORMS: Final[Mapping[str, Callable[[Job], CiFile]]] = {
    "github": github.write,
    "gitlab": gitlab.write,
    "forgejo": forgejo.write,
    "circleci": circleci.write,
    "bitbucket": bitbucket.write,
    "buildkite": buildkite.write,
    "azure-devops": azure_devops.write,
    "jenkins": jenkins.write,
    "google-cloud": google_cloud.write,
    "aws": aws.write,
    "kubernetes": kubernetes.write,
    "spiffe": shell.write_spiffe,
    "other": shell.write_other,
}
"""The writer of each platform's file, by the name that `keyless providers` gives it; `other` is for all the rest."""
