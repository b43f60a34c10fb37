"""Fakes of platforms that mint before the job: Bitbucket, Jenkins and the table's."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyless.testing import DROP, FakeCI, FakeIssuer, platform_claims, unverified_claims
from keyless.testing.platforms import PLATFORMS
from keyless.testing.variables import BITBUCKET_DEFAULT


@pytest.mark.parametrize(
    ("audiences", "aud"), [((), BITBUCKET_DEFAULT), (("x",), [BITBUCKET_DEFAULT, "x"])], ids=["default", "custom"]
)
def test_bitbucket(issuer: FakeIssuer, audiences: tuple[str, ...], aud: object) -> None:
    """A text, or a list that keeps the default; no jti."""
    ci = FakeCI.bitbucket(issuer, audiences=audiences)
    claims = unverified_claims(ci.environ()["BITBUCKET_STEP_OIDC_TOKEN"])

    assert (claims["aud"], "jti" in claims) == (aud, False)
    assert "BITBUCKET_STEP_OIDC_TOKEN" not in FakeCI.bitbucket(issuer, oidc=False).environ()


def test_jenkins(issuer: FakeIssuer) -> None:
    """A list as audience, which may be empty; a variable or a file."""
    with FakeCI.jenkins(issuer, audience="x", variable="MINE") as ci:
        path = ci.bind_file("MY_FILE")["MY_FILE"]

        assert unverified_claims(ci.environ()["MINE"])["aud"] == ["x"]
        assert Path(path).read_text() == ci.id_token
    assert unverified_claims(FakeCI.jenkins(issuer).id_token)["aud"] == []
    assert "HF_OIDC_ID_TOKEN" not in FakeCI.jenkins(issuer, bound=False).environ()


def test_the_token_is_the_same_all_the_job_long(issuer: FakeIssuer) -> None:
    """It cannot be minted again."""
    ci = FakeCI.variable(issuer, "terraform-cloud", audience="x")

    assert ci.environ() == ci.environ()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_has_claims(platform: str) -> None:
    """A subject at least; `DROP` works."""
    assert platform_claims(platform)["sub"]
    assert "sub" not in platform_claims(platform, sub=DROP)
