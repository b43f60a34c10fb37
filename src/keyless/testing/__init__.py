"""Stand-ins for the outside world, with real keys and real HTTP on loopback: for our tests and for yours.

`FakeIssuer` is an OIDC issuer that signs what you ask for and misbehaves when told to. `FakeCI` is a CI platform around
one job: GitHub's mint endpoint, GitLab's variable. `Clock` stands still until you move it. Needs the extra `testing`
(cryptography). As a pytest plugin this room brings the fixtures of `keyless.testing.pytest_plugin`.

The names below are loaded when they are first used: pytest imports every installed plugin at its start, and must not
fail in an environment that has the client only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyless.testing.ci import FakeCI
    from keyless.testing.claims import DROP, github_claims, gitlab_claims, unverified_claims
    from keyless.testing.clock import Clock
    from keyless.testing.faults import Fault
    from keyless.testing.github import FakeGitHub, GitHubJob, MintRequest
    from keyless.testing.gitlab import FakeGitLab
    from keyless.testing.issuer import FakeIssuer

_HOMES = {
    "DROP": "claims",
    "Clock": "clock",
    "FakeCI": "ci",
    "FakeGitHub": "github",
    "FakeGitLab": "gitlab",
    "FakeIssuer": "issuer",
    "Fault": "faults",
    "GitHubJob": "github",
    "MintRequest": "github",
    "github_claims": "claims",
    "gitlab_claims": "claims",
    "unverified_claims": "claims",
}

__all__ = [
    "DROP",
    "Clock",
    "FakeCI",
    "FakeGitHub",
    "FakeGitLab",
    "FakeIssuer",
    "Fault",
    "GitHubJob",
    "MintRequest",
    "github_claims",
    "gitlab_claims",
    "unverified_claims",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
