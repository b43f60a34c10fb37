"""A refusal counts only when everything about it is as it should be."""

from __future__ import annotations

import pytest

from keyless.demo.children import Finished
from keyless.demo.refusals import ALL, Refusal
from keyless.demo.steps import Step, Summary
from keyless.demo.trail import Decision

BRANCH = next(refusal for refusal in ALL if refusal.name == "another branch")
FORK = next(refusal for refusal in ALL if refusal.name == "a fork's pull request")
GOOD = Finished(1, "", "Bad request:\ninvalid_grant: no publisher\n")


def refused(reason: str = "no_matching_publisher", *details: str) -> Decision:
    """Return a refusal as the audit trail has it."""
    return Decision.of(
        {
            "at": 1,
            "kind": "exchange.refused",
            "reason": reason,
            "data": {"details": details or ("branch is 'experiment'",)},
        }
    )


def test_there_are_six() -> None:
    """Each with a name of its own."""
    assert len({refusal.name for refusal in ALL}) == 6


def test_a_refusal_as_it_should_be_is_good() -> None:
    """Status, words, reason and the one difference."""
    assert BRANCH.judge(GOOD, [refused()]) is None
    assert FORK.judge(Finished(3, "", "… id-token: write …"), []) is None


@pytest.mark.parametrize(
    ("refusal", "done", "decisions"),
    [
        pytest.param(BRANCH, Finished(0, "", GOOD.stderr), [refused()], id="it succeeded"),
        pytest.param(BRANCH, Finished(-15, "", GOOD.stderr), [refused()], id="it was killed"),
        pytest.param(BRANCH, Finished(1, "", "Connection refused"), [refused()], id="it failed for another reason"),
        pytest.param(BRANCH, GOOD, [], id="the service never refused"),
        pytest.param(BRANCH, GOOD, [refused("token_expired")], id="another reason in the trail"),
        pytest.param(BRANCH, GOOD, [refused("no_matching_publisher", "ref", "sha")], id="two differences"),
        pytest.param(BRANCH, GOOD, [refused("no_matching_publisher", "sha is 'x'")], id="another difference"),
        pytest.param(FORK, Finished(4, "", "id-token: write"), [], id="another exit status"),
        pytest.param(FORK, Finished(3, "", "id-token: write"), [refused()], id="something was sent"),
    ],
)
def test_anything_else_is_not(refusal: Refusal, done: Finished, decisions: list[Decision]) -> None:
    """A demo that cannot fail proves nothing."""
    assert refusal.judge(done, decisions) is not None


def test_a_summary_is_good_only_when_every_step_is() -> None:
    """And an empty one is not."""
    good, bad = Step("a", "x", True, "x", 0.1), Step("b", "x", False, "y", 0.1)

    assert not Summary().ok
    assert Summary([good]).ok
    assert not Summary([good, bad]).ok
    assert Summary([good, bad]).as_json()["ok"] is False
