"""The fake GitHub mints as the documentation of the real one says, and keeps a record of how it was asked."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

import pytest

from keyless.testing import DROP, FakeCI, FakeGitHub, FakeIssuer, Fault, github_claims, unverified_claims


def mint(environment: Mapping[str, str], suffix: str, *, scheme: str = "bearer", token: str | None = None) -> str:
    """Ask for an id token as a client does; `suffix` is put behind the request URL."""
    request = urllib.request.Request(
        environment["ACTIONS_ID_TOKEN_REQUEST_URL"] + suffix,
        headers={"Authorization": f"{scheme} {token or environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        value: str = json.loads(answer.read())["value"]
        return value


def test_a_request_that_merges_the_audience_is_well_formed(github_ci: FakeGitHub) -> None:
    """S3: the URL already has a query, and it survives."""
    claims = unverified_claims(mint(github_ci.environ(), "&audience=https%3A%2F%2Fhub"))

    assert claims["aud"] == "https://hub"
    assert github_ci.mints == 1
    assert github_ci.requests[0].well_formed


def test_a_request_that_replaces_the_query_is_answered_and_recorded(github_ci: FakeGitHub) -> None:
    """The real hf drops `api-version`; the job's state is in the path, so it still gets its token."""
    environment = github_ci.environ()
    environment["ACTIONS_ID_TOKEN_REQUEST_URL"] = environment["ACTIONS_ID_TOKEN_REQUEST_URL"].partition("?")[0]
    mint(environment, "?audience=x", scheme="Bearer")

    assert not github_ci.requests[0].query_kept
    assert not github_ci.requests[0].well_formed


def test_without_an_audience_the_token_is_for_the_owner(github_ci: FakeGitHub) -> None:
    """V13: the platform's default audience is nobody's relying party."""
    assert unverified_claims(mint(github_ci.environ(), ""))["aud"] == "https://github.com/acme"


def test_a_wrong_request_token_gets_nothing(github_ci: FakeGitHub) -> None:
    """The bearer belongs to the job."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        mint(github_ci.environ(), "&audience=x", token="guess")
    refused.value.close()

    assert refused.value.code == 401
    assert not github_ci.requests[0].authorized


def test_two_audiences_get_nothing(github_ci: FakeGitHub) -> None:
    """V13: a token is for one."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        mint(github_ci.environ(), "&audience=x&audience=y")
    refused.value.close()

    assert refused.value.code == 400


def test_jobs_do_not_share_credentials(github_ci: FakeGitHub) -> None:
    """One job's bearer is worth nothing on another job's path."""
    first, second = github_ci.environ(), github_ci.job(ref="refs/heads/other").environ()

    with pytest.raises(urllib.error.HTTPError) as refused:
        mint(second, "&audience=x", token=first["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
    refused.value.close()

    assert unverified_claims(mint(second, "&audience=x"))["ref"] == "refs/heads/other"


def test_a_job_without_the_permission_has_no_mint_variables(github_ci: FakeGitHub) -> None:
    """S2: a fork's pull request is detected and cannot mint."""
    environment = github_ci.job(id_token_permission=False, event_name="pull_request").environ()

    assert environment["GITHUB_ACTIONS"] == "true"
    assert not [name for name in environment if name.startswith("ACTIONS_")]


def test_the_claims_of_a_running_job_can_be_changed(github_ci: FakeGitHub) -> None:
    """A test turns one claim and mints again."""
    github_ci.claims["environment"] = "production"

    assert unverified_claims(mint(github_ci.environ(), "&audience=x"))["environment"] == "production"


def test_a_job_can_get_a_token_that_is_already_over(github_ci: FakeGitHub) -> None:
    """V11: an expired token through the ordinary way."""
    github_ci.first.lifetime_seconds = -60
    claims = unverified_claims(mint(github_ci.environ(), "&audience=x"))

    assert isinstance(claims["exp"], int)
    assert isinstance(claims["iat"], int)
    assert claims["exp"] < claims["iat"]


def test_the_mint_endpoint_fails_on_request(github_ci: FakeGitHub) -> None:
    """S6: the same faults as the issuer's, and the request is still counted."""
    github_ci.misbehave(Fault.UNAVAILABLE)
    with pytest.raises(urllib.error.HTTPError) as failed:
        mint(github_ci.environ(), "&audience=x")
    failed.value.close()
    github_ci.behave()
    mint(github_ci.environ(), "&audience=x")

    assert (failed.value.code, failed.value.headers["Retry-After"], github_ci.mints) == (503, "7", 2)


def test_every_claim_but_times_is_text() -> None:
    """GitHub writes ids and run numbers as strings."""
    assert all(isinstance(value, str) for value in github_claims().values())


@pytest.mark.parametrize(
    ("overrides", "claim", "expected"),
    [
        ({}, "sub", "repo:acme/widgets:ref:refs/heads/main"),
        ({"environment": "a:b"}, "sub", "repo:acme/widgets:environment:a%3Ab"),
        ({"event_name": "pull_request"}, "sub", "repo:acme/widgets:pull_request"),
        ({"ref": "refs/tags/v1"}, "ref_type", "tag"),
        ({"repository": "evil/widgets"}, "repository_owner", "evil"),
        ({"repository": "evil/widgets"}, "workflow_ref", "evil/widgets/.github/workflows/train.yml@refs/heads/main"),
        ({"sub": "custom"}, "sub", "custom"),
        ({"workflow_ref": "a/b/.github/workflows/c.yml@refs/heads/x"}, "repository", "acme/widgets"),
        ({"repository_id": DROP}, "repository_id", None),
    ],
)
def test_what_follows_from_an_override_follows(overrides: dict[str, object], claim: str, expected: object) -> None:
    """Claims stay true to each other unless a test wants them not to."""
    assert github_claims(**overrides).get(claim) == expected


def test_a_job_can_be_set_up_without_a_request() -> None:
    """`mint` gives a token to a test that starts behind the mint."""
    with FakeIssuer() as issuer, FakeCI.github(issuer, {"ref": "refs/heads/x"}) as ci:
        claims = unverified_claims(ci.mint("https://hub", ref="refs/heads/y"))

    assert (claims["aud"], claims["ref"], ci.mints) == ("https://hub", "refs/heads/y", 0)
