"""Fixtures for whoever tests against an OIDC issuer; active wherever this package and pytest are installed.

Imports nothing heavy until a fixture is asked for: pytest loads every installed plugin at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from keyless.testing import FakeGitHub, FakeGitLab, FakeIssuer


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """A running `FakeIssuer` of the test's own."""
    from keyless.testing.issuer import FakeIssuer  # needs cryptography

    with FakeIssuer() as started:
        yield started


@pytest.fixture
def github_ci(issuer: FakeIssuer) -> Iterator[FakeGitHub]:
    """GitHub Actions around a push to `main` of `acme/widgets`; `.environ()` is what the job sees."""
    from keyless.testing.github import FakeGitHub  # as above

    with FakeGitHub(issuer) as started:
        yield started


@pytest.fixture
def gitlab_ci(issuer: FakeIssuer) -> Callable[[str], FakeGitLab]:
    """A function from an audience to a GitLab job with an id token for it."""
    from keyless.testing.gitlab import FakeGitLab  # as above

    return lambda audience: FakeGitLab(issuer, audience=audience)
