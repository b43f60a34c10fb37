"""Stand-ins for the outside world, with real keys and real HTTP on loopback: for our tests and for yours.

`FakeIssuer` is an OIDC issuer that signs what you ask for and misbehaves when told to. `FakeCI` is a CI platform around
one job: its mint endpoint, its program, its variable or its file. `Clock` stands still until you move it. Needs the
extra `testing` (cryptography). As a pytest plugin this room brings the fixtures of `keyless.testing.pytest_plugin`.

The names below are loaded when they are first used: pytest imports every installed plugin at its start, and must not
fail in an environment that has the client only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyless.testing.aws import FakeAWS
    from keyless.testing.azure_devops import FakeAzureDevOps
    from keyless.testing.bitbucket import FakeBitbucket
    from keyless.testing.buildkite import FakeBuildkite
    from keyless.testing.ci import FakeCI
    from keyless.testing.circleci import FakeCircleCI
    from keyless.testing.claims import DROP, github_claims, gitlab_claims, unverified_claims
    from keyless.testing.clock import Clock
    from keyless.testing.faults import Fault
    from keyless.testing.forgejo import FakeForgejo
    from keyless.testing.github import FakeGitHub, GitHubJob, MintRequest
    from keyless.testing.gitlab import FakeGitLab
    from keyless.testing.google_cloud import FakeGoogleCloud
    from keyless.testing.issuer import FakeIssuer
    from keyless.testing.jenkins import FakeJenkins
    from keyless.testing.kubernetes import FakeKubernetes
    from keyless.testing.mint_server import Asked, Ran
    from keyless.testing.platforms import platform_claims
    from keyless.testing.spiffe import FakeSpire
    from keyless.testing.variables import FakeVariableCI

_HOMES = {
    "Asked": "mint_server",
    "Clock": "clock",
    "DROP": "claims",
    "FakeAWS": "aws",
    "FakeAzureDevOps": "azure_devops",
    "FakeBitbucket": "bitbucket",
    "FakeBuildkite": "buildkite",
    "FakeCI": "ci",
    "FakeCircleCI": "circleci",
    "FakeForgejo": "forgejo",
    "FakeGitHub": "github",
    "FakeGitLab": "gitlab",
    "FakeGoogleCloud": "google_cloud",
    "FakeIssuer": "issuer",
    "FakeJenkins": "jenkins",
    "FakeKubernetes": "kubernetes",
    "FakeSpire": "spiffe",
    "FakeVariableCI": "variables",
    "Fault": "faults",
    "GitHubJob": "github",
    "MintRequest": "github",
    "Ran": "mint_server",
    "github_claims": "claims",
    "gitlab_claims": "claims",
    "platform_claims": "platforms",
    "unverified_claims": "claims",
}

__all__ = [
    "DROP",
    "Asked",
    "Clock",
    "FakeAWS",
    "FakeAzureDevOps",
    "FakeBitbucket",
    "FakeBuildkite",
    "FakeCI",
    "FakeCircleCI",
    "FakeForgejo",
    "FakeGitHub",
    "FakeGitLab",
    "FakeGoogleCloud",
    "FakeIssuer",
    "FakeJenkins",
    "FakeKubernetes",
    "FakeSpire",
    "FakeVariableCI",
    "Fault",
    "GitHubJob",
    "MintRequest",
    "Ran",
    "github_claims",
    "gitlab_claims",
    "platform_claims",
    "unverified_claims",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
