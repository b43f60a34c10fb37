"""What the fake platforms have in common."""

from __future__ import annotations

import pytest

from keyless.testing import FakeCI, FakeIssuer, Fault, Ran
from tests.testing.calls import http, program


def test_faults_and_their_end(issuer: FakeIssuer) -> None:
    """The same faults as the issuer's, and each request is still counted."""
    with FakeCI.google_cloud(issuer) as cloud:
        url = f"{cloud.origin}/computeMetadata/v1/"
        cloud.misbehave(Fault.UNAVAILABLE)
        broken = http("GET", url, {"Metadata-Flavor": "Google"})[0]
        cloud.behave()

        assert (broken, http("GET", url, {"Metadata-Flavor": "Google"})[0], cloud.mints) == (503, 200, 2)


def test_a_program_can_be_told_what_to_print(issuer: FakeIssuer) -> None:
    """And goes back to normal."""
    with FakeCI.circleci(issuer) as ci:
        ci.misprint(Ran(output="o", status=3, complaint="c"))
        ran = program(["circleci", "x"], ci.environ())
        ci.behave()
        normal = program(["circleci", "x"], ci.environ())

    assert (ran.stdout, ran.returncode, ran.stderr) == ("o", 3, "c")
    assert (normal.returncode, normal.stdout) == (255, "")


@pytest.mark.parametrize("platform", ["forgejo", "circleci", "buildkite", "azure_devops", "aws", "kubernetes"])
def test_an_unknown_path(issuer: FakeIssuer, platform: str) -> None:
    """404, and no secret in the record."""
    with getattr(FakeCI, platform)(issuer) as ci:
        assert http("GET", f"{ci.origin}/elsewhere")[0] == 404
