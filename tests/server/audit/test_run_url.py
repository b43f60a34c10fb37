from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.issuers import PROFILES
from keyless.server.audit.run_url import run_url

GITHUB = {"repository": "acme/train", "run_id": "77"}
CASES = [
    ("github", "https://token.actions.githubusercontent.com", GITHUB, "https://github.com/acme/train/actions/runs/77"),
    (
        *("github", "https://token.actions.githubusercontent.com/acme-inc", GITHUB | {"run_attempt": "2"}),
        "https://github.com/acme/train/actions/runs/77/attempts/2",
    ),
    ("github", "https://token.actions.acme.ghe.com", GITHUB, "https://acme.ghe.com/acme/train/actions/runs/77"),
    ("github", "https://ghes.example/_services/token", GITHUB, "https://ghes.example/acme/train/actions/runs/77"),
    (
        *("gitlab", "https://gitlab.com", {"project_path": "acme/ml/train", "job_id": "5"}),
        "https://gitlab.com/acme/ml/train/-/jobs/5",
    ),
    (
        *("gitlab", "https://git.example:8443/gitlab", {"project_path": "acme/train", "job_id": "5"}),
        "https://git.example:8443/gitlab/acme/train/-/jobs/5",
    ),
    (
        *("forgejo", "https://code.example/api/actions", {"repository": "acme/train", "run_number": "3"}),
        "https://code.example/acme/train/actions/runs/3",
    ),
    (
        *("buildkite", "https://agent.buildkite.com"),
        {"organization_slug": "acme", "pipeline_slug": "train", "build_number": "9"},
        "https://buildkite.com/acme/train/builds/9",
    ),
    (
        *("circleci", "https://oidc.circleci.com/org/1", {"oidc.circleci.com/workflow-id": "ab-12"}),
        "https://app.circleci.com/pipelines/workflows/ab-12",
    ),
    (
        *("azure-devops", "https://vstoken.dev.azure.com/1", {"sub": "p://acme/My Project/train", "run_id": "4"}),
        "https://dev.azure.com/acme/My%20Project/_build/results?buildId=4",
    ),
]


@pytest.mark.parametrize(("kind", "issuer", "claims", "url"), CASES)
def test_a_run_has_a_page(kind: str, issuer: str, claims: dict[str, str], url: str) -> None:
    """D15: whoever reads the audit gets to the run with a click."""
    assert run_url(kind, issuer, claims) == url


@pytest.mark.parametrize(("kind", "issuer", "claims", "url"), CASES)
def test_without_a_claim_there_is_no_page(kind: str, issuer: str, claims: dict[str, str], url: str) -> None:
    """D15: nothing is guessed."""
    del url
    for name in set(claims) - {"run_attempt"}:
        assert run_url(kind, issuer, {key: value for key, value in claims.items() if key != name}) is None
        assert run_url(kind, issuer, claims | {name: ""}) is None


@pytest.mark.parametrize("repository", ["../evil", "acme/..", "acme", "a/b/c", "/acme/train", "acme//train"])
def test_what_is_no_repository_has_no_page(repository: str) -> None:
    """T18: a claim is no path."""
    assert run_url("github", CASES[0][1], GITHUB | {"repository": repository}) is None


@pytest.mark.parametrize(
    "issuer", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "//host", "https://user@host", ""]
)
@pytest.mark.parametrize("kind", ["github", "gitlab", "forgejo"])
def test_only_http_comes_out(kind: str, issuer: str) -> None:
    """T18: also where somebody configured an odd issuer."""
    claims = {"repository": "a/b", "run_id": "1", "project_path": "a/b", "job_id": "1", "run_number": "1"}

    assert run_url(kind, issuer, claims) is None


@given(
    st.sampled_from([*PROFILES, "unknown"]),
    st.sampled_from([case[1] for case in CASES]),
    st.dictionaries(st.sampled_from(sorted({name for case in CASES for name in case[2]})), st.text(max_size=20)),
)
def test_whatever_the_claims_say_the_page_is_on_the_platform(kind: str, issuer: str, claims: dict[str, str]) -> None:
    """T18: no claim changes the host, adds a query, or moves a cursor."""
    if (url := run_url(kind, issuer, claims)) is None:
        return
    parts = urlsplit(url)

    assert parts.scheme in {"https", "http"}
    assert url.isascii()
    assert url.isprintable()
    assert not set(url) & set(" \"'<>\\`")
    platform = {"buildkite.com", "app.circleci.com", "dev.azure.com", "github.com", "acme.ghe.com"}
    assert parts.netloc in platform | {urlsplit(issuer).netloc}
    assert parts.fragment == ""
    assert parts.query == "" or kind == "azure-devops"
    assert ".." not in parts.path.split("/")
