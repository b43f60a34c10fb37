"""The quick yes of a plan against the full judgement (D17): they never disagree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.issuers import profile_for
from keyless.oidc.issuer import Issuer
from keyless.trust.match import judge, judge_unproven
from keyless.trust.plan import plan_for
from keyless.trust.publisher import Condition, Operator, Pin, Publisher
from tests.issuers.samples import SAMPLES, Sample
from tests.trust.identities import GITHUB_COM, IDS, NOW, OTHER_GITHUB, is_exactly, is_like, proven, publisher, seen

GITHUB = profile_for("github")
BRANCH = is_exactly("branch", "main")

CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "repository_id": st.sampled_from(["456789", "456780", "", "4567890"]),
        "repository_owner_id": st.sampled_from(["123456", ""]),
        "repository": st.sampled_from(["acme/widgets", "ACME/Widgets", "acme/other", ""]),
        "branch": st.sampled_from(["main", "release/1", "release/1/2", ""]),
        "environment": st.sampled_from(["Release", "release", ""]),
        "event_name": st.sampled_from(["push", "pull_request", "workflow_run"]),
        "job_workflow_ref": st.sampled_from(["acme/other/.github/workflows/a.yml@refs/heads/main", "?"]),
        "workflow": st.sampled_from(["publish.yml", ""]),
    },
)
CONDITIONS = st.lists(
    st.sampled_from(
        [
            BRANCH,
            is_exactly("branch", "main", "release/1"),
            is_exactly("repository", "Acme/Widgets"),
            is_exactly("environment", "release"),
            is_exactly("repository_id", "456789"),
            is_exactly("event_name", "push", "pull_request"),
            is_exactly("workflow", "publish.yml"),
            is_like("branch", "release/*"),
            is_like("environment", "rel*"),
            Condition("branch", Operator.ONE_OF, ("",)),
        ]
    ),
    max_size=3,
    unique_by=lambda condition: condition.claim,
)
PINS = st.sampled_from([IDS, IDS[:1], (), (Pin("repository_id", None), IDS[1]), (Pin("repository_id", ""), IDS[1])])


@given(CLAIMS, CONDITIONS, PINS, st.booleans(), st.sampled_from([None, NOW, NOW + 1]))
def test_the_quick_yes_is_the_full_judgements_yes(
    claims: dict[str, str], conditions: list[Condition], pins: tuple[Pin, ...], enabled: bool, expires_at: int | None
) -> None:
    """V16, M00-M06: whatever claims, conditions and pins there are, the answer is the one of the full judgement."""
    record = publisher(*conditions, pins=pins, enabled=enabled, expires_at=expires_at)
    quick = judge(record, claims, proven(), GITHUB, NOW)
    full = judge_unproven(record, claims, GITHUB_COM, GITHUB, NOW)
    assert (quick.mismatches, dict(quick.first_use_pins)) == (full.mismatches, full.first_use_pins)
    if full.accepted:
        assert quick.owner_proven == full.owner_proven


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_every_platforms_ordinary_token_takes_the_quick_way(sample: Sample) -> None:
    """D17: the plan is there for the common case of every issuer, not of one."""
    plan = plan_for(sample.publisher({**sample.needed, **sample.named}), sample.issuer, sample.profile)
    assert plan is not None
    assert plan.accepts(sample.attributes())


def test_a_publisher_without_a_plan_is_judged_in_full() -> None:
    """M00, T35, T76, T93, D10: switched off, of another issuer, unpinned, waiting, or counting re-runs."""
    waiting = (Pin("repository_id", None), IDS[1])
    for record in (
        publisher(BRANCH, enabled=False),
        publisher(BRANCH, issuer=OTHER_GITHUB),
        publisher(BRANCH, pins=IDS[:1]),
        publisher(BRANCH, pins=waiting),
        replace(publisher(BRANCH), max_run_attempt=1),
        replace(publisher(BRANCH), pending_until=NOW + 1),
    ):
        assert plan_for(record, GITHUB_COM, GITHUB) is None


def test_a_plan_is_of_one_issuer_record_and_one_version_of_the_publisher() -> None:
    """T35, D16: a plan is kept beside the publisher, and made anew for whatever it was not made for."""
    record = publisher(BRANCH)
    first = plan_for(record, GITHUB_COM, GITHUB)
    assert plan_for(record, GITHUB_COM, GITHUB) is first
    changed: Issuer = replace(GITHUB_COM, allow_multiple_audiences=True)
    assert plan_for(record, changed, GITHUB) is not first
    elsewhere: Publisher = replace(record, conditions=(is_exactly("branch", "other"),))
    plan = plan_for(elsewhere, GITHUB_COM, GITHUB)
    assert plan is not None
    assert not plan.accepts(seen(proven()))
