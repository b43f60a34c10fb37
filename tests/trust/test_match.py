"""A proven identity against the publishers of one resource."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyless.testing.claims import DROP
from keyless.trust.match import describe
from keyless.trust.publisher import Condition, Operation, Operator, Pin, PinSource
from tests.trust.identities import (
    GENERIC,
    GITHUB_COM,
    GITLAB_COM,
    IDS,
    NOW,
    OTHER_GITHUB,
    differing,
    is_exactly,
    is_like,
    proven,
    publisher,
    verdict,
    verdicts,
)

REPOSITORY = is_exactly("repository", "acme/widgets")
WAITING = (
    Pin("repository_id", None, PinSource.FIRST_USE, lapses_at=NOW + 60),
    Pin("repository_owner_id", None, PinSource.FIRST_USE, lapses_at=NOW + 60),
)


def test_a_publisher_whose_demands_all_hold_accepts() -> None:
    """V16, S10: the Hub's claim names."""
    result = verdict(
        publisher(
            REPOSITORY,
            is_exactly("branch", "main"),
            is_exactly("workflow", "train.yml"),
            is_exactly("environment", "production"),
        ),
        proven(environment="production"),
    )

    assert result.accepted
    assert result.owner_proven
    assert result.first_use_pins == {}


@pytest.mark.parametrize(
    ("conditions", "claims", "expected"),
    [
        pytest.param([is_exactly("branch", "main")], {"ref": "refs/heads/dev"}, ["branch"], id="branch"),
        pytest.param([is_exactly("branch", "main")], {"ref": "refs/tags/main"}, ["branch"], id="tag-named-like-it"),
        pytest.param([is_exactly("tag", "v1")], {"ref": "refs/heads/v1"}, ["tag"], id="branch-named-like-the-tag"),
        pytest.param([is_exactly("environment", "prod")], {}, ["environment"], id="no-environment"),
        pytest.param([is_exactly("environment", "prod")], {"environment": ""}, ["environment"], id="empty-environment"),
        pytest.param([is_exactly("environment", "")], {"environment": ""}, ["environment"], id="empty-both"),
        pytest.param(
            [is_exactly("workflow", "train.yml")],
            {"workflow_ref": "x", "job_workflow_ref": DROP},
            ["workflow"],
            id="workflow",
        ),
        pytest.param([is_exactly("workflow", "Train and publish")], {}, ["workflow"], id="display-name"),
        pytest.param([is_exactly("repository", "acme/other")], {}, ["repository"], id="repository"),
        pytest.param([is_like("branch", "release/*")], {"ref": "refs/heads/release/a/b"}, ["branch"], id="glob"),
        pytest.param(
            [is_exactly("ref_protected", "true")], {"ref_protected": "false"}, ["ref_protected"], id="protected"
        ),
        pytest.param(
            [is_exactly("branch", "main"), is_exactly("environment", "prod"), is_exactly("event_name", "push")],
            {"ref": "refs/heads/x", "event_name": "schedule"},
            ["branch", "environment", "event_name"],
            id="all-three-are-named",
        ),
    ],
)
def test_each_demand_that_fails_is_named(
    conditions: list[Condition], claims: dict[str, object], expected: list[str]
) -> None:
    """V16, M02, T69, T73, T88: all of them must hold, and a refusal names every one that does not."""
    result = verdict(publisher(*conditions), proven(claims=claims))

    assert not result.accepted
    assert differing(result) == expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"repository_id": "999"}, ["repository_id"]),
        ({"repository_owner_id": "999"}, ["repository_owner_id"]),
        ({"repository_id": "0456789"}, ["repository_id"]),
        ({"repository_id": "456789 "}, ["repository_id"]),
        ({"repository_id": "45678९"}, ["repository_id"]),
        ({"repository_id": "999", "repository_owner_id": "999"}, ["repository_id", "repository_owner_id"]),
    ],
    ids=["fork", "resurrected-owner", "leading-zero", "blank", "other-digits", "both"],
)
def test_the_names_are_right_and_the_ids_are_not(claims: dict[str, object], expected: list[str]) -> None:
    """D10, T60, T61: whoever got hold of the names is a stranger."""
    result = verdict(publisher(REPOSITORY), proven(claims=claims))

    assert differing(result) == expected
    assert not result.owner_proven


def test_an_id_given_as_a_number_is_that_id() -> None:
    """M01."""
    assert verdict(publisher(), proven(repository_id=456789)).accepted


@pytest.mark.parametrize(
    "pins",
    [(), IDS[:1], IDS[1:], (Pin("sha", "x"),)],
    ids=["none", "repository-only", "owner-only", "something-else"],
)
def test_a_publisher_without_the_required_pins_matches_nobody(pins: tuple[Pin, ...]) -> None:
    """M00, T36: at match too, so that a row which slipped past the checks at save opens nothing."""
    result = verdict(publisher(REPOSITORY, pins=pins))

    assert not result.accepted
    assert not result.owner_proven


def test_an_exact_condition_on_an_id_is_a_pin() -> None:
    """M00: the id is bound, whichever way it was written."""
    by_condition = publisher(
        is_exactly("repository_id", "456789"), is_exactly("repository_owner_id", "123456"), pins=()
    )

    assert verdict(by_condition).accepted
    assert verdict(by_condition).owner_proven


@pytest.mark.parametrize(
    "condition",
    [is_exactly("repository_id", "456789", "1"), is_like("repository_id", "4567*")],
    ids=["one-of", "glob"],
)
def test_several_ids_are_no_pin(condition: Condition) -> None:
    """M00, M06."""
    assert "repository_id" in differing(verdict(publisher(condition, pins=IDS[1:])))


@pytest.mark.parametrize("received", ["", DROP], ids=["empty", "absent"])
def test_an_empty_pin_equals_nothing(received: object) -> None:
    """M02, T81: not even an empty claim."""
    record = publisher(pins=(*IDS, Pin("environment", "")))

    assert differing(verdict(record, proven(environment=received))) == ["environment"]


def test_two_pins_of_one_claim_must_both_hold() -> None:
    """V16: nothing is decided by the order of rows."""
    twice = publisher(pins=(*IDS, Pin("repository_id", "999")))

    assert not verdict(twice).accepted
    assert not verdict(replace(twice, pins=tuple(reversed(twice.pins)))).accepted
    assert not verdict(twice).owner_proven


# --- first use --------------------------------------------------------------------------------------------------------


def test_the_first_use_pins_what_it_carries() -> None:
    """D10, M03."""
    result = verdict(publisher(REPOSITORY, pins=WAITING))

    assert result.accepted
    assert result.first_use_pins == {"repository_id": "456789", "repository_owner_id": "123456"}
    assert not result.owner_proven


@pytest.mark.parametrize(("seconds", "accepted"), [(59, True), (60, False), (10**6, False)])
def test_the_wait_for_a_first_use_ends(seconds: int, accepted: bool) -> None:
    """D10, T86."""
    assert verdict(publisher(REPOSITORY, pins=WAITING), now=NOW + seconds).accepted is accepted


def test_only_one_id_may_wait() -> None:
    """D10: a given id counts while the other waits."""
    record = publisher(REPOSITORY, pins=(IDS[1], WAITING[0]))

    assert verdict(record).first_use_pins == {"repository_id": "456789"}
    assert differing(verdict(record, proven(repository_owner_id="999"))) == ["repository_owner_id"]


@pytest.mark.parametrize(
    "conditions",
    [(), (is_exactly("branch", "main"),), (is_exactly("repository", "acme/widgets", "acme/other"),),
     (is_exactly("repository_owner", "acme"),)],
    ids=["no-conditions", "branch-only", "two-repositories", "owner-only"],
)  # fmt: skip
def test_nobody_is_pinned_without_a_name(conditions: tuple[Condition, ...]) -> None:
    """M03, T86: or the first stranger on the shared issuer would own the publisher."""
    assert "repository" in differing(verdict(publisher(*conditions, pins=WAITING)))


@pytest.mark.parametrize("claims", [{"ref": "refs/heads/dev"}, {"repository": "evil/widgets"}], ids=["branch", "fork"])
def test_a_first_use_must_match_everything_else(claims: dict[str, object]) -> None:
    """M03, T86."""
    assert not verdict(
        publisher(REPOSITORY, is_exactly("branch", "main"), pins=WAITING), proven(claims=claims)
    ).accepted


def test_an_unknown_issuers_first_use_needs_some_name_too() -> None:
    """M00b, T86."""
    waiting = (Pin("sub", None, PinSource.FIRST_USE),)

    assert not verdict(publisher(pins=waiting, issuer=GENERIC), proven(GENERIC)).accepted
    assert verdict(publisher(is_exactly("team", "a"), pins=waiting, issuer=GENERIC), proven(GENERIC, team="a")).accepted


# --- issuers ----------------------------------------------------------------------------------------------------------


def test_another_issuers_token_is_refused_with_the_same_claims() -> None:
    """T35, T112, V16: a customer's own server may say anything; and its caller learns nothing."""
    result = verdict(publisher(REPOSITORY), proven(OTHER_GITHUB))

    assert differing(result) == ["iss"]
    assert not result.owner_proven


def test_a_gitlab_publisher() -> None:
    """S11, T62: project and namespace ids."""
    record = publisher(
        is_exactly("project_path", "acme/widgets"),
        is_exactly("branch", "main"),
        is_exactly("workflow", ".gitlab-ci.yml"),
        pins=(Pin("project_id", "20"), Pin("namespace_id", "72")),
        issuer=GITLAB_COM,
    )

    assert verdict(record, proven(GITLAB_COM)).accepted
    assert differing(verdict(record, proven(GITLAB_COM, project_id="21", job_project_id="21"))) == ["project_id"]
    assert differing(verdict(record, proven(GITLAB_COM, namespace_id="99"))) == ["namespace_id"]


def test_a_fork_that_runs_in_the_parent_project_is_refused() -> None:
    """T75, V15."""
    record = publisher(pins=(Pin("project_id", "20"), Pin("namespace_id", "72")), issuer=GITLAB_COM)

    assert differing(verdict(record, proven(GITLAB_COM, job_project_id="99"))) == ["job_project_id"]


def test_an_unknown_issuer_needs_the_exact_subject() -> None:
    """M00b."""
    record = publisher(is_exactly("sub", "job"), pins=(), issuer=GENERIC)

    assert verdict(record, proven(GENERIC)).accepted
    assert verdict(record, proven(GENERIC)).owner_proven
    assert differing(verdict(record, proven(GENERIC, sub="job2"))) == ["sub"]
    by_team = publisher(is_exactly("team", "a"), pins=(), issuer=GENERIC)
    assert differing(verdict(by_team, proven(GENERIC, team="a"))) == ["sub"]


def test_declared_immutable_claims_take_the_subjects_place() -> None:
    """M00b."""
    issuer = replace(GENERIC, immutable_claims=("org_id",))
    record = publisher(pins=(Pin("org_id", "7"),), issuer=issuer)

    assert verdict(record, proven(issuer, org_id=7)).accepted
    assert not verdict(record, proven(issuer, org_id=8)).accepted
    assert not verdict(record, proven(issuer)).accepted


# --- guards -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["pull_request_target", "workflow_run", "issue_comment", "pull_request"])
def test_a_dangerous_event_is_refused_unless_named(event: str) -> None:
    """V15, T74."""
    assert differing(verdict(publisher(), proven(event_name=event))) == ["event_name"]
    assert verdict(publisher(is_exactly("event_name", "push", event)), proven(event_name=event)).accepted


def test_naming_another_event_does_not_open_a_dangerous_one() -> None:
    """V15: named means named with this value."""
    record = publisher(is_exactly("event_name", "push"))

    assert differing(verdict(record, proven(event_name="workflow_run"))) == ["event_name"]


CALLED = "acme/shared/.github/workflows/publish.yml"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param([], ["workflow", "job_workflow"], id="neither"),
        pytest.param([is_exactly("workflow", "train.yml")], ["job_workflow"], id="caller-only"),
        pytest.param([is_exactly("job_workflow", CALLED)], ["workflow"], id="called-only"),
        pytest.param([is_exactly("workflow", "train.yml"), is_exactly("job_workflow", CALLED)], [], id="both"),
        pytest.param(
            [is_exactly("workflow", "train.yml"), is_exactly("job_workflow", CALLED.replace("shared", "other"))],
            ["job_workflow"],
            id="another-called",
        ),
    ],
)
def test_a_reusable_workflow_needs_caller_and_called(conditions: list[Condition], expected: list[str]) -> None:
    """M05, T71."""
    token = proven(job_workflow_ref=f"{CALLED}@refs/heads/main")

    assert differing(verdict(publisher(*conditions), token)) == expected


def test_a_stranger_who_calls_the_trusted_workflow_is_a_stranger() -> None:
    """T71: RubyGems' cross-caller case."""
    record = publisher(is_exactly("workflow", "train.yml"), is_exactly("job_workflow", CALLED))
    evil = proven(repository="evil/x", repository_id="666", repository_owner_id="666",
                  job_workflow_ref=f"{CALLED}@refs/heads/main")  # fmt: skip

    assert differing(verdict(record, evil)) == ["repository_id", "repository_owner_id"]


# --- state ------------------------------------------------------------------------------------------------------------


def test_a_disabled_publisher_accepts_nobody() -> None:
    """D16, T91."""
    assert differing(verdict(publisher(enabled=False))) == ["publisher"]


@pytest.mark.parametrize(("seconds", "accepted"), [(-1, True), (0, False), (1, False)])
def test_an_expired_publisher_accepts_nobody(seconds: int, accepted: bool) -> None:
    """T92."""
    assert verdict(publisher(expires_at=NOW), now=NOW + seconds).accepted is accepted


# --- several ----------------------------------------------------------------------------------------------------------


def test_the_most_specific_publisher_is_chosen_and_rights_are_never_joined() -> None:
    """T85, V16: one publisher's rights, whichever order they come in."""
    wide = publisher(REPOSITORY, id="wide", operations=(Operation.READ, Operation.WRITE, Operation.CREATE))
    narrow = publisher(REPOSITORY, is_exactly("branch", "main"), id="narrow", operations=(Operation.READ,))
    orders = [verdicts(wide, narrow), verdicts(narrow, wide)]

    assert [[item.publisher.id for item in order] for order in orders] == [["narrow", "wide"]] * 2
    assert orders[0][0].publisher.operations == (Operation.READ,)


def test_a_more_specific_publisher_that_does_not_accept_is_no_obstacle() -> None:
    """V16: publishers are alternatives."""
    narrow = publisher(REPOSITORY, is_exactly("branch", "release"), is_exactly("environment", "prod"), id="narrow")
    ordered = verdicts(narrow, publisher(id="wide"))

    assert [(item.publisher.id, item.accepted) for item in ordered] == [("wide", True), ("narrow", False)]


def test_of_equally_specific_publishers_the_older_is_chosen() -> None:
    """T85: a stable choice."""
    records = [publisher(id="b", created_at=5), publisher(id="a", created_at=5), publisher(id="c", created_at=1)]

    assert [item.publisher.id for item in verdicts(*records)] == ["c", "a", "b"]
    assert [item.publisher.id for item in verdicts(*reversed(records))] == ["c", "a", "b"]


def test_the_nearest_refusal_leads_the_others() -> None:
    """D12: the one worth explaining first."""
    far = publisher(is_exactly("branch", "x"), is_exactly("environment", "y"), id="far")
    near = publisher(is_exactly("branch", "x"), id="near")

    assert [item.publisher.id for item in verdicts(far, near)] == ["near", "far"]


def test_without_publishers_there_is_no_verdict() -> None:
    """V16: the caller must not take an empty list for consent."""
    assert verdicts() == []


# --- explaining -------------------------------------------------------------------------------------------------------


def test_a_mismatch_says_what_was_demanded_and_what_came() -> None:
    """D12: for the owner; `received` is the caller's own."""
    (mismatch,) = verdict(publisher(is_exactly("branch", "main")), proven(ref="refs/heads/dev")).mismatches

    assert (mismatch.claim, mismatch.expected, mismatch.received) == ("branch", "'main'", "dev")


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Condition("branch", Operator.EQUALS, ("main",)), "'main'"),
        (Condition("branch", Operator.ONE_OF, ("a", "b")), "'a' or 'b'"),
        (Condition("branch", Operator.GLOB, ("v*",)), "a match of 'v*'"),
    ],
    ids=["exact", "one-of", "glob"],
)
def test_a_condition_is_described_for_people(condition: Condition, text: str) -> None:
    """D11: explainable."""
    assert describe(condition) == text


@pytest.mark.parametrize("claims", [{"ref": "refs/heads/dev"}, {"event_name": "workflow_run"}], ids=["branch", "event"])
def test_the_owner_is_proven_by_ids_although_the_rest_differs(claims: dict[str, object]) -> None:
    """D12: then the answer may name what differs."""
    result = verdict(publisher(is_exactly("branch", "main"), is_exactly("event_name", "push")), proven(claims=claims))

    assert not result.accepted
    assert result.owner_proven


def test_a_repository_of_the_same_owner_is_not_the_owner_proven() -> None:
    """D12, T95: the repository's id decides, also where it stands in a condition."""
    record = publisher(is_exactly("repository_id", "456789"), pins=IDS[1:])

    assert not verdict(record, proven(repository_id="1")).owner_proven


def test_the_issuer_of_the_record_is_the_one_compared() -> None:
    """T35: by id, not by spelling."""
    assert differing(verdict(replace(publisher(), issuer_id=9, issuer_url=GITHUB_COM.url))) == ["iss"]


@pytest.mark.parametrize(
    ("attempt", "accepted"),
    [
        *[("1", True), ("2", True), ("3", False), ("10", False), ("0", False), ("", False), (None, False)],
        *[("-1", False), (" 1", False), ("1.0", False), ("\u0661", False), ("9" * 200, False), (True, False)],
    ],
    ids=lambda value: repr(value)[:12],
)
def test_re_runs_beyond_the_allowed_attempt_are_refused(attempt: object, accepted: bool) -> None:
    """T76: an old run cannot be run again for a fresh token; a number that is absent or odd is not a first attempt."""
    record = replace(publisher(is_exactly("branch", "main")), max_run_attempt=2)
    token = proven(run_attempt=attempt)

    assert verdict(record, token).accepted is accepted
    assert differing(verdict(record, token)) == ([] if accepted else ["run_attempt"])
    assert verdict(publisher(is_exactly("branch", "main")), token).accepted


def test_a_publisher_that_waited_too_long_for_its_resource_accepts_nothing() -> None:
    """T93: also where the row is still there."""
    record = replace(publisher(is_exactly("branch", "main")), pending_until=NOW + 10)

    assert verdict(record, now=NOW + 9).accepted
    assert not verdict(record, now=NOW + 10).accepted
