"""What the user of the real client reads when the service says no."""

from __future__ import annotations

import pytest

from keyless.demo.stage import Stage
from tests.journeys.job import folder, head, refusals, step, trust

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def model(stage: Stage) -> str:
    """A model that the good job has published."""
    trust(stage, "acme/refusals")
    local = folder(stage, "refusals", {"README.md": b"# Original\n"})
    done = step(stage, "acme/refusals", ["upload", "acme/refusals", str(local), "."])
    assert done.status == 0, done.output
    return "acme/refusals"


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        pytest.param({"ref": "refs/heads/dev"}, "wants something else for branch 'dev'", id="another branch"),
        pytest.param({"repository_id": "1"}, "repository_id '1'", id="a fork's repository_id"),
        pytest.param({"repository_owner_id": "1"}, "repository_owner_id '1'", id="another owner's id"),
        pytest.param({"repository": "mallory/widgets"}, "repository 'mallory/widgets'", id="another repository"),
        pytest.param(
            {"event_name": "pull_request_target"}, "event_name 'pull_request_target'", id="pull_request_target"
        ),
        pytest.param(
            {"workflow_ref": "acme/widgets/.github/workflows/other.yml@refs/heads/main"},
            "other.yml",
            id="another workflow",
        ),
    ],
)
def test_a_job_with_one_thing_wrong(stage: Stage, model: str, claims: dict[str, object], text: str) -> None:
    """V15, V16, D12: refused with the caller's own values in the text, and never with what was expected."""
    before = head(stage, "models", model)["sha"]
    seen = len(refusals(stage, f"models/{model}"))
    done = step(stage, model, ["upload", model, "refusals", "."], job=stage.github.job(**claims))  # type: ignore[arg-type]

    assert done.status == 1
    assert "Bad request:" in done.output
    assert "invalid_grant: no trusted publisher of 'acme/refusals' accepts this id token" in done.output
    assert text in done.output
    assert refusals(stage, f"models/{model}")[seen:] == ["no_matching_publisher"]
    assert head(stage, "models", model)["sha"] == before


def test_a_resource_without_publishers(stage: Stage) -> None:
    """T94: the same words as for one that has some, so a stranger learns nothing."""
    done = step(stage, "acme/nobodys", ["auth", "token"])

    assert done.status == 1
    assert "invalid_grant: no trusted publisher of 'acme/nobodys' accepts this id token" in done.output


def test_a_token_of_another_repository(stage: Stage, model: str) -> None:
    """S4: a token is good for one resource, and the hub says which variable to set."""
    trust(stage, "datasets/acme/refusals-data")
    done = step(stage, model, ["upload", "acme/refusals-data", "refusals", ".", "--repo-type", "dataset"])

    assert done.status == 1
    assert "403 Forbidden: This token is good for acme/refusals only" in done.output
    assert "HF_OIDC_RESOURCE=datasets/acme/refusals-data" in done.output


def test_an_expired_id_token(stage: Stage, model: str) -> None:
    """V11: the text says what to do."""
    now = int(stage.issuer.clock())
    token = stage.github.mint(stage.url, iat=now - 3600, nbf=now - 3600, exp=now - 3000)
    done = step(stage, model, ["auth", "token"], HF_OIDC_ID_TOKEN=token)

    assert done.status == 1
    assert "invalid_grant: the token expired" in done.output
    assert "mint the id token right before it is used" in done.output


def test_an_id_token_for_somebody_else(stage: Stage, model: str) -> None:
    """V13: the one right audience is named."""
    token = stage.github.mint("https://huggingface.co")
    done = step(stage, model, ["auth", "token"], HF_OIDC_ID_TOKEN=token)

    assert done.status == 1
    assert f"audience must be exactly {stage.url}" in done.output


def test_an_issuer_that_nobody_trusts(stage: Stage, model: str) -> None:
    """V06: refused without a request to it, in words that name no issuer."""
    token = stage.issuer.mint(stage.github.claims, iss="https://issuer.example.com", aud=stage.url)
    done = step(stage, model, ["auth", "token"], HF_OIDC_ID_TOKEN=token)

    assert done.status == 1
    assert "invalid_grant: the id token is malformed, not from an issuer trusted here" in done.output


def test_a_job_without_the_permission(stage: Stage, model: str) -> None:
    """S3: the real client's own words; nothing reaches the service."""
    seen = len(refusals(stage, f"models/{model}"))
    done = step(stage, model, ["auth", "token"], job=stage.github.job(id_token_permission=False))

    assert done.status == 1
    assert "id-token: write" in done.output
    assert len(refusals(stage, f"models/{model}")) == seen


def test_a_pull_request_is_refused_clearly(stage: Stage, model: str) -> None:
    """D25: the reference hub has no pull requests, and says so instead of failing half-way."""
    before = head(stage, "models", model)["sha"]
    folder(stage, "refusals-pr", {"other.txt": b"other"})
    done = step(stage, model, ["upload", model, "refusals-pr", ".", "--create-pr"])

    assert done.status == 1
    assert "This hub has no pull requests" in done.output
    assert head(stage, "models", model)["sha"] == before
