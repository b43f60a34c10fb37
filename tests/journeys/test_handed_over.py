"""An id token handed over through `HF_OIDC_ID_TOKEN`: the same one for every command of a job (S5, D8)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyless.demo.stage import Stage
from keyless.testing import FakeCI, FakeIssuer
from tests.journeys.job import grants, refusals, step, trust

pytestmark = pytest.mark.journey


@pytest.fixture
def gitlab(stage: Stage) -> Iterator[FakeIssuer]:
    """A GitLab instance that the service trusts."""
    with FakeIssuer() as issuer:
        stage.administer("trust", "issuer", "add", issuer.url, "--kind", "gitlab", "--network", "loopback")
        yield issuer


def test_githubs_token_twice_is_refused_with_the_way_out(stage: Stage) -> None:
    """D8: GitHub mints as often as a job asks, so a second use is a copy; the text says how to change that."""
    trust(stage, "acme/twice")
    token = stage.github.mint(stage.url)
    first = step(stage, "acme/twice", ["auth", "token"], HF_OIDC_ID_TOKEN=token)
    second = step(stage, "acme/twice", ["auth", "token"], HF_OIDC_ID_TOKEN=token)

    assert first.status == 0, first.output
    assert second.status == 1
    assert "invalid_grant: " in second.output
    assert "already" in second.output
    assert "replay" in second.output
    assert "counted" in second.output
    assert len(grants(stage, "models/acme/twice")) == 1
    assert refusals(stage, "models/acme/twice") == ["token_replayed"]


def test_githubs_token_twice_is_accepted_where_the_publisher_counts(stage: Stage) -> None:
    """D8: `--replay counted` on the publisher is that way out."""
    trust(stage, "acme/counted", "--replay", "counted")
    token = stage.github.mint(stage.url)
    done = [step(stage, "acme/counted", ["auth", "token"], HF_OIDC_ID_TOKEN=token) for _ in range(2)]

    assert [one.status for one in done] == [0, 0], done[-1].output
    assert [event["data"]["use"] for event in grants(stage, "models/acme/counted")] == [1, 2]


def test_a_gitlab_job_uses_its_one_token_for_every_command(stage: Stage, gitlab: FakeIssuer) -> None:
    """S5, S11: GitLab gives a job one token; the default for such issuers counts."""
    stage.administer(
        "trust", "add", "acme/from-gitlab", "--issuer", gitlab.url, "--repository", "acme/widgets",
        "--branch", "main", "--project-id", "20", "--namespace-id", "72",
    )  # fmt: skip
    job = FakeCI.gitlab(gitlab, audience=stage.url)
    environment = {**stage.step_environment(None, "acme/from-gitlab"), **job.environ()}
    done = [stage.run_hf(environment, arguments) for arguments in (["auth", "token"], ["auth", "whoami"])]

    assert [one.status for one in done] == [0, 0], done[0].output + done[1].output
    assert len(grants(stage, "models/acme/from-gitlab")) == 2


def test_a_gitlab_job_publishes_through_exec(stage: Stage, gitlab: FakeIssuer) -> None:
    """D23: under `keyless exec` the real client uploads with the file's token, and never sees the id token."""
    stage.administer(
        "trust", "add", "acme/through-exec", "--issuer", gitlab.url, "--repository", "acme/widgets",
        "--branch", "main", "--project-id", "20", "--namespace-id", "72",
    )  # fmt: skip
    job = FakeCI.gitlab(gitlab, audience=stage.url, variable="KEYLESS_ID_TOKEN")
    environment = {**stage.step_environment(None, None), **job.environ()}
    (stage.folder / "through-exec.txt").write_text("published by exec")
    upload = [str(stage.hf), "upload", "acme/through-exec", "through-exec.txt", "through-exec.txt"]
    done = stage.run_keyless(environment, ["exec", "--resource", "acme/through-exec", "--", *upload])

    assert done.status == 0, done.output
    assert len(grants(stage, "models/acme/through-exec")) == 1
