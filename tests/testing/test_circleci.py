"""The fake CircleCI and its program behave as "OpenID Connect tokens with custom claims" says."""

from __future__ import annotations

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from tests.testing.calls import program

GET = ["circleci", "run", "oidc", "get"]


def test_the_program_prints_a_token(issuer: FakeIssuer) -> None:
    """Only standard output, one line."""
    with FakeCI.circleci(issuer) as ci:
        ran = program([*GET, "--claims", '{"aud": "x"}', "--root-issuer"], ci.environ())
        default = program(GET, ci.environ())

    assert unverified_claims(ran.stdout.strip())["aud"] == "x"
    assert unverified_claims(default.stdout.strip())["aud"] == ci.claims["oidc.circleci.com/org-id"]
    assert (ran.returncode, ran.stderr, ran.stdout.count("\n")) == (0, "", 1)


@pytest.mark.parametrize(
    "words", [["circleci", "version"], [*GET, "--claims", '{"sub": "x"}'], [*GET, "--claims", "x"]]
)
def test_what_the_program_refuses(issuer: FakeIssuer, words: list[str]) -> None:
    """Only `aud` may be set."""
    with FakeCI.circleci(issuer) as ci:
        ran = program(words, ci.environ())

    assert ran.returncode != 0
    assert ran.stdout == ""


def test_the_variables_hold_the_organizations_audience(issuer: FakeIssuer) -> None:
    """Fixed: a UUID."""
    with FakeCI.circleci(issuer) as ci:
        environ = ci.environ()

    assert unverified_claims(environ["CIRCLE_OIDC_TOKEN_V2"])["aud"] == ci.claims["oidc.circleci.com/org-id"]


def test_a_fork_has_nothing(issuer: FakeIssuer) -> None:
    """Neither a variable nor a working program."""
    with FakeCI.circleci(issuer, forked=True) as ci:
        environ = ci.environ()
        ran = program(GET, environ)

    assert not [name for name in environ if "OIDC" in name]
    assert ran.returncode != 0


def test_the_program_is_gone_with_the_fake(issuer: FakeIssuer) -> None:
    """Nothing is left behind."""
    from pathlib import Path

    with FakeCI.circleci(issuer) as ci:
        folder = Path(ci.program_directory)

        assert (folder / "circleci").exists()
    assert not folder.parent.exists()
