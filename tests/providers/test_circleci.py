"""CircleCI: the ready-made token, and the program for any other audience (S11)."""

from __future__ import annotations

import pytest

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.testing import FakeIssuer
from keyless.testing.circleci import FakeCircleCI
from keyless.testing.mint_server import Ran
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of, mint


def test_the_program_mints_for_our_audience(issuer: FakeIssuer) -> None:
    """The variables' audience is the organization, so the program is asked; its token is new each time."""
    with FakeCircleCI(issuer) as ci:
        found = find(ci.environ())
        tokens = {mint(ci.environ()), mint(ci.environ())}

        assert claims_of(ci.environ())["aud"] == AUDIENCE
    assert (found.provider, found.mints_anew, len(tokens)) == ("circleci", True, 2)
    assert ci.requests[0].arguments == ("run", "oidc", "get", "--claims", f'{{"aud":"{AUDIENCE}"}}')


def test_the_root_issuer_is_a_choice(issuer: FakeIssuer) -> None:
    """The organization's own issuer is the default, as in CircleCI's guides."""
    with FakeCircleCI(issuer) as ci:
        mint({**ci.environ(), "KEYLESS_CIRCLECI_ROOT_ISSUER": "true"})

    assert "--root-issuer" in ci.requests[0].arguments


def test_the_ready_made_token_serves_its_own_audience(issuer: FakeIssuer) -> None:
    """A service that accepts the organization's id needs no program; that token is fixed."""
    with FakeCircleCI(issuer, has_program=False) as ci:
        audience = str(ci.claims["oidc.circleci.com/org-id"])
        found = find(ci.environ(), audience)

        assert mint(ci.environ(), audience) == ci.id_token
    assert (found.mints_anew, found.variables) == (False, ("CIRCLE_OIDC_TOKEN_V2",))


def test_a_custom_webhook_has_only_the_older_variable(issuer: FakeIssuer) -> None:
    """providers.md 2.3: no V2 there."""
    with FakeCircleCI(issuer) as ci:
        environ = ci.environ()
        del environ["CIRCLE_OIDC_TOKEN_V2"]

        assert claims_of(environ)["aud"] == AUDIENCE


@pytest.mark.parametrize(("forked", "word"), [(True, "fork"), (False, "noexec")])
def test_no_token_at_all(issuer: FakeIssuer, forked: bool, word: str) -> None:
    """A fork's build, or a runner whose temporary directory cannot be used: two hints."""
    with FakeCircleCI(issuer, forked=True) as ci:
        environ = {name: value for name, value in ci.environ().items() if forked or "_PR_" not in name}
        error = failure(environ)

    assert isinstance(error, IdTokenPermissionError)
    assert word in (error.hint or "")


def test_an_image_without_the_program(issuer: FakeIssuer) -> None:
    """Agent missing."""
    with FakeCircleCI(issuer, has_program=False) as ci:
        environ = {**ci.environ(), "PATH": "/nonexistent"}

        assert "circleci CLI" in hint_of(environ)


@pytest.mark.parametrize(
    ("ran", "kind"),
    [
        (Ran(status=255, complaint="Error: unknown command\n"), MintError),
        (Ran(status=1, complaint="Error: Get ...: dial tcp: connection refused\n"), MintUnavailableError),
        (Ran(output=""), MintError),
        (Ran(output="Your token: abc\n"), MintError),
    ],
    ids=["old", "outage", "nothing", "chatter"],
)
def test_a_program_that_fails(issuer: FakeIssuer, ran: Ran, kind: type[MintError]) -> None:
    """Outage and refusal are told apart, and what it wrote is not shown."""
    with FakeCircleCI(issuer) as ci:
        ci.misprint(ran)
        error = failure(ci.environ())

    assert type(error) is kind
    assert "abc" not in str(error)
    assert error.hint
