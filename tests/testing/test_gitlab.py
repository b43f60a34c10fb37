"""The fake GitLab hands one token to its job, in the variable that the job's author chose."""

from __future__ import annotations

from collections.abc import Callable

from keyless.testing import FakeCI, FakeGitLab, FakeIssuer, gitlab_claims, unverified_claims


def test_the_token_is_minted_once_per_job(gitlab_ci: Callable[[str], FakeGitLab]) -> None:
    """S5: every command of a job sees the same token."""
    job = gitlab_ci("https://hub")

    assert job.environ()["HF_OIDC_ID_TOKEN"] == job.environ()["HF_OIDC_ID_TOKEN"]


def test_the_variable_and_the_audience_are_the_authors() -> None:
    """S11: `id_tokens:` names both."""
    with FakeIssuer() as issuer:
        job = FakeCI.gitlab(issuer, {"ref": "dev"}, audience=["https://a", "https://b"], variable="MY_TOKEN")
        claims = unverified_claims(job.environ()["MY_TOKEN"])

    assert claims["aud"] == ["https://a", "https://b"]
    assert claims["sub"] == "project_path:acme/widgets:ref_type:branch:ref:dev"
    assert claims["nbf"] == int(str(claims["iat"])) - 5


def test_the_environment_is_gitlabs(gitlab_ci: Callable[[str], FakeGitLab]) -> None:
    """S2: detection sees GitLab's markers and the instance."""
    job = gitlab_ci("https://hub")
    environment = job.environ()

    assert (environment["GITLAB_CI"], environment["CI_SERVER_URL"]) == ("true", job.issuer.url)


def test_booleans_are_text_and_the_runner_is_a_number() -> None:
    """V10: GitLab writes `ref_protected` as a string."""
    claims = gitlab_claims()

    assert (claims["ref_protected"], claims["runner_id"]) == ("true", 1)
