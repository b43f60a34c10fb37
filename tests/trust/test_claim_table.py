"""Reading a table of jobs, and comparing what they get with what they must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from keyless.errors import ConfigurationError, ResourceSyntaxError
from keyless.issuers import profile_for
from keyless.resource import Resource
from keyless.testing.claims import github_claims
from keyless.trust.claim_table import Job, Result, check, read_table
from keyless.trust.explain import Explanation, explain_claims
from keyless.trust.publisher import Publisher
from tests.trust.identities import GITHUB_COM, NOW, is_exactly, publisher

PUSH: dict[str, Any] = {
    "name": "a push to main",
    "provider": "github",
    "claims": github_claims(),
    "expect": {"acme/model": "accepted"},
}
ON_DEV = {
    "ref": "refs/heads/dev",
    "workflow_ref": "acme/widgets/.github/workflows/train.yml@refs/heads/dev",
    "job_workflow_ref": "acme/widgets/.github/workflows/train.yml@refs/heads/dev",
}


def results(*jobs: Mapping[str, object], publishers: tuple[Publisher, ...] = ()) -> list[Result]:
    """Check a table against publishers of `acme/model`."""

    def explain(job: Job, resource: Resource) -> Explanation:
        own = [record for record in publishers if record.resource == resource]
        return explain_claims(own, job.claims, GITHUB_COM, profile_for("github"), now=NOW)

    return check(read_table({"job": list(jobs)}), explain)


def differences(expect: object, *records: Publisher, **claims: object) -> list[str]:
    """Return how one job differs from what is expected of it at `acme/model`."""
    (result,) = results(
        {**PUSH, "claims": github_claims(**claims), "expect": {"acme/model": expect}}, publishers=records
    )
    assert result.met is not bool(result.differences)
    return list(result.differences)


MAIN = publisher(is_exactly("branch", "main"), id="pub-main")


def test_expectations_that_are_met() -> None:
    """D11: one job, several resources, in short and in long."""
    expect = {"acme/model": "accepted", "datasets/acme/data": {"verdict": "refused", "reason": "no_matching_publisher"}}
    met = results({**PUSH, "expect": expect}, publishers=(MAIN,))

    assert [(result.expected.resource.short, result.met) for result in met] == [
        ("acme/model", True),
        ("datasets/acme/data", True),
    ]


def test_a_job_that_gets_in_by_mistake_is_found() -> None:
    """T72: the test a user writes for the branch that must not publish."""
    assert differences("refused", publisher(id="pub-loose"), **ON_DEV) == [
        "accepted instead of refused: publisher pub-loose accepts it"
    ]
    assert differences("refused", MAIN, **ON_DEV) == []


def test_a_job_that_is_kept_out_is_found_with_the_reason() -> None:
    """D12."""
    assert differences("accepted", MAIN, **ON_DEV) == [
        "refused instead of accepted: no publisher of the resource accepts it"
    ]
    assert differences("accepted", MAIN, run_id="") == ["refused instead of accepted: the token has no 'run_id' claim"]


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        pytest.param({"verdict": "refused", "differs": ["branch"]}, [], id="the claim that differs"),
        pytest.param({"verdict": "refused", "publisher": "pub-main"}, [], id="the publisher"),
        pytest.param({"verdict": "refused", "differs": []}, ["branch differs as well"], id="nothing should differ"),
        pytest.param(
            {"verdict": "refused", "differs": ["tag"]},
            ["tag does not differ, or there is no publisher to differ from", "branch differs as well"],
            id="another claim",
        ),
        pytest.param(
            {"verdict": "refused", "publisher": "pub-x"},
            ["the publisher is pub-main, not pub-x"],
            id="another publisher",
        ),
        pytest.param(
            {"verdict": "refused", "reason": "claim_missing"},
            ["the reason is no_matching_publisher, not claim_missing: no publisher of the resource accepts it"],
            id="another reason",
        ),
    ],
)
def test_a_refusal_can_be_pinned_down(expect: object, expected: list[str]) -> None:
    """A test that a job is refused should not pass because of a slip elsewhere."""
    assert differences(expect, MAIN, **ON_DEV) == expected


def test_a_job_may_be_like_an_earlier_one() -> None:
    """Only what differs has to be written."""
    dev = {"name": "dev", "like": PUSH["name"], "claims": ON_DEV, "expect": {"acme/model": "refused"}}
    bare = {"name": "bare", "like": "dev", "without": ["environment_node_id"], "expect": {"acme/model": "refused"}}
    push = {**PUSH, "claims": github_claims(environment_node_id="x")}
    jobs = read_table({"job": [push, dev, bare]})

    assert jobs[1].claims == github_claims(environment_node_id="x") | ON_DEV
    assert "environment_node_id" not in jobs[2].claims
    assert jobs[2].provider == "github"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param({}, "no [[job]]", id="empty"),
        pytest.param({"job": []}, "no [[job]]", id="no jobs"),
        pytest.param({"job": [1]}, "job 1 is not a table", id="no table"),
        pytest.param({"job": [PUSH], "jobs": []}, "'jobs' is not known", id="a slip in the table"),
        pytest.param({"job": [{}]}, "job 1 has no name", id="no name"),
        pytest.param({"job": [{**PUSH, "expects": {}}]}, "'expects' is not known", id="a slip in a job"),
        pytest.param({"job": [{**PUSH, "expect": {}}]}, "expects nothing", id="nothing expected"),
        pytest.param({"job": [{**PUSH, "expect": {"acme/model": "yes"}}]}, "the verdict must be", id="a verdict"),
        pytest.param({"job": [{**PUSH, "expect": {"acme/model": 1}}]}, "is not a table", id="a number"),
        pytest.param(
            {"job": [{**PUSH, "expect": {"acme/model": {"verdict": "accepted", "differs": ["x"]}}}]},
            "nothing differs",
            id="accepted and differs",
        ),
        pytest.param({"job": [{**PUSH, "issuer": "https://x"}]}, "and not both", id="provider and issuer"),
        pytest.param({"job": [{**PUSH, "provider": None}]}, "needs a provider or an issuer", id="neither"),
        pytest.param({"job": [{**PUSH, "like": "later"}]}, "no job before it", id="like nobody"),
        pytest.param({"job": [{**PUSH, "without": ["nope"]}]}, "which it does not have", id="without a slip"),
        pytest.param({"job": [{**PUSH, "without": "ref"}]}, "not a list of texts", id="without a text"),
        pytest.param({"job": [PUSH, PUSH]}, "two jobs are called", id="one name twice"),
        pytest.param({"job": [PUSH] * 1001}, "at most 1000", id="too many"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(document: Mapping[str, object], words: str) -> None:
    """A slip of the pen must not make a test pass."""
    with pytest.raises(ConfigurationError) as caught:
        read_table(document)
    assert words in str(caught.value)


def test_a_resource_that_is_none_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(ResourceSyntaxError):
        read_table({"job": [{**PUSH, "expect": {"a/b/c/d": "refused"}}]})
