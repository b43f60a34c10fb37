"""What holds for every publisher and every token, from the verified claims to the verdict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import TokenError
from keyless.issuers.github import GITHUB
from keyless.issuers.gitlab import GITLAB
from keyless.testing.claims import DROP, github_claims, gitlab_claims
from keyless.trust.publisher import Condition, Operation
from tests.trust.identities import is_exactly, proven, publisher, seen, verdict, verdicts

CLAIMS = github_claims(environment="production")
NAMED = {
    "repository": "acme/widgets",
    "branch": "main",
    "workflow": "train.yml",
    "environment": "production",
    "event_name": "push",
    "ref_protected": "true",
    "runner_environment": "github-hosted",
}
SOURCES = {"branch": "ref", "workflow": "workflow_ref"}  # where a derived name comes from
conditions = st.sets(st.sampled_from(sorted(NAMED))).map(
    lambda names: [is_exactly(name, NAMED[name]) for name in sorted(names)]
)
pinned = st.sampled_from(["repository_id", "repository_owner_id"])


@given(conditions)
def test_the_token_that_was_meant_is_accepted(wanted: list[Condition]) -> None:
    """V16: any set of demands that the job fulfils."""
    assert verdict(publisher(*wanted), proven(environment="production")).accepted


@given(conditions, st.sampled_from([*sorted(NAMED), "repository_id", "repository_owner_id"]))
def test_a_token_that_lacks_a_claim_matches_only_publishers_that_do_not_name_it(
    wanted: list[Condition], lacking: str
) -> None:
    """M02, T80: dropping never helps."""
    claim = SOURCES.get(lacking, lacking)
    record = publisher(*wanted)
    demanded = {condition.claim for condition in record.conditions} | {pin.claim for pin in record.pins}
    try:
        result = verdict(record, proven(claims={"environment": "production", claim: DROP}))
    except TokenError:
        return

    assert result.accepted <= (lacking not in demanded)


@given(conditions, st.sampled_from(sorted(NAMED)), st.text(min_size=1, max_size=12))
def test_a_token_with_another_value_matches_only_publishers_that_do_not_name_it(
    wanted: list[Condition], changed: str, value: str
) -> None:
    """V16: each demand counts."""
    claim = SOURCES.get(changed, changed)
    try:
        token = proven(claims={"environment": "production", claim: value})
        result = verdict(publisher(*wanted), token)
    except TokenError:
        return
    same = str(CLAIMS[claim]).lower() == value.lower()

    assert same or not result.accepted or changed not in {condition.claim for condition in wanted}


@given(pinned, st.text(max_size=12) | st.integers(-(2**63), 2**63 - 1))
def test_only_the_pinned_id_is_the_pinned_id(claim: str, value: str | int) -> None:
    """D10, M01."""
    try:
        result = verdict(publisher(), proven(claims={claim: value}))
    except TokenError:
        return

    assert result.accepted is (str(value) == CLAIMS[claim])


@given(st.lists(st.tuples(conditions, st.sets(st.sampled_from(list(Operation)), min_size=1)), min_size=1, max_size=5))
def test_the_chosen_rights_are_those_of_one_accepting_publisher(
    drawn: list[tuple[list[Condition], set[Operation]]],
) -> None:
    """T85: never a union, and never those of one that refused."""
    records = [
        publisher(*wanted, id=f"pub-{n}", operations=tuple(operations)) for n, (wanted, operations) in enumerate(drawn)
    ]
    ordered = verdicts(*records)  # this token has no environment
    accepting = [record for record in records if all(item.claim != "environment" for item in record.conditions)]

    assert [item.accepted for item in ordered] == [True] * len(accepting) + [False] * (len(records) - len(accepting))
    if accepting:
        assert ordered[0].publisher in accepting
        assert len(ordered[0].publisher.conditions) == max(len(record.conditions) for record in accepting)


pieces = st.lists(
    st.sampled_from(
        [
            *("acme", "widgets", "acme/widgets", "ACME", "/", "@", ".github", "workflows", "/.github/workflows/"),
            *("train.yml", "evil.yml", "refs/heads/", "refs/tags/", "main", "\u00e9"),
        ]
    ),
    max_size=9,
).map("".join)


@given(pieces, pieces, st.sampled_from(["refs/heads/", "refs/tags/", ""]))
def test_a_derived_workflow_spells_the_claim_it_came_from(workflow_ref: str, name: str, prefix: str) -> None:
    """T70: there is one way to read it, and it is the token's own repository and ref."""
    claims = github_claims(workflow_ref=workflow_ref, ref=prefix + name)
    derived = GITHUB.attributes(claims).get("workflow")
    if derived is None:
        return
    repository, _, at = workflow_ref.partition(f"/.github/workflows/{derived}@")

    assert repository.lower() == "acme/widgets"
    assert at in {prefix + name, claims["sha"]}
    assert derived
    assert not set("/@") & set(derived)


@given(pieces, pieces)
def test_a_derived_config_file_spells_the_claim_it_came_from(uri: str, ref: str) -> None:
    """T70."""
    full = f"gitlab.example.com/{uri}//{ref}"
    derived = GITLAB.attributes(gitlab_claims(ci_config_ref_uri=full, ref_path=ref)).get("workflow")
    if derived is None:
        return

    assert full.lower().startswith(f"gitlab.example.com/acme/widgets//{derived.lower()}@")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(0, 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(sorted(CLAIMS)), json_values | pieces, max_size=4))
def test_whatever_an_issuer_signs_ends_in_a_verdict_or_our_error(changes: dict[str, object]) -> None:
    """V09, V10: and a verdict can be explained."""
    try:
        token = proven(claims=changes)
        result = verdict(publisher(is_exactly("repository", "acme/widgets")), token)
    except TokenError:
        return

    assert result.accepted is (not result.mismatches)
    assert all(value.isprintable() for value in seen(token).values())
    assert set(result.first_use_pins) == set()
